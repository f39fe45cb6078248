"""Base classes of pages that show an object and take what a member of staff enters about it.

The staff site has no keys: the entry is stored, another process carries it out, and the page shows the result.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin import ModelAdmin
from apps.core.errors import PlatformError
from apps.trading.models.staff_entries import StaffEntry
from apps.trading.services.orders.staff_entries import Operator

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm


class StaffEntryForm(ModelForm):
    """Has fields of its own only: the object itself is not changed."""

    class Meta:
        fields = ()

    def _get_validation_exclusions(self) -> set[str]:
        return {field.name for field in self._meta.model._meta.fields}


class TakesEntries(ModelAdmin):
    """Shows `shown`, and to whoever may change the object the fields `asked` of the form under `heading`.

    `shown` has "entries", which lists what was entered so far. `entered` is said when an entry was stored.
    """

    show_full_result_count = False
    shown: tuple[str, ...]
    heading: str
    asked: tuple[str, ...]
    entered: str

    def enter(self, obj: Any, data: dict[str, Any], operator: Operator) -> None:
        """Stores what was entered. A PlatformError becomes a message on the page."""
        raise NotImplementedError

    def entries_with_results(self, obj: Any) -> Iterable[tuple[StaffEntry, str]]:
        """The entries about the object, in the order to show them, each with what came of it."""
        raise NotImplementedError

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown: list[Any] = [(None, {"fields": self.with_links(self.shown)})]
        if self.has_change_permission(request, obj):
            shown.append((self.heading, {"fields": self.asked}))
        return shown

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.with_links(self.shown)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        staff: Any = request.user
        try:
            self.enter(obj, form.cleaned_data, Operator(id=str(staff.id), name=staff.name or staff.email))
        except PlatformError as error:
            obj.refusal = error.message

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        refusal = getattr(obj, "refusal", "")
        if refusal:
            messages.error(request, refusal)
        else:
            messages.success(request, self.entered)
        return HttpResponseRedirect(request.get_full_path())

    @admin.display(description="entries")
    def entries(self, obj: Any) -> SafeString:
        lines = [
            f"{each.requested_at:%Y-%m-%d %H:%M:%S} {each.operator}: {each.outcome}, because {each.because} → {result}"
            for each, result in self.entries_with_results(obj)
        ]
        return format_html("<pre>{}</pre>", "\n".join(lines) or "None so far.")
