"""Base classes of the model admins. Only the staff site imports this module."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin import display
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.core.staff.large_lists import LargeTable, StaffList
from apps.core.staff.references import Related, is_reference, own_key, reference, related_lists
from apps.core.staff.widgets import styled
from apps.core.staff_actions import LONGEST_REASON, RecordsActions

if TYPE_CHECKING:
    from django.contrib import admin
    from django.contrib.admin.helpers import ActionForm

    UnfoldModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    from unfold.admin import ModelAdmin as UnfoldModelAdmin
    from unfold.admin import TabularInline
    from unfold.forms import ActionForm


class ReasonForm(ActionForm):
    """The form above a list whose actions ask for a reason."""

    reason = forms.CharField(
        required=False,
        max_length=LONGEST_REASON,
        label="Reason",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "Reason", "aria-label": "Reason"}),
    )


class ModelAdmin(RecordsActions, UnfoldModelAdmin):
    """Pages of a model, whose every change is recorded. Ids are links, and people are shown by their address.

    `related` are lists of what belongs to an object, linked on its page.
    """

    related: Sequence[Related] = ()
    action_form = ReasonForm

    def get_changelist(self, request: HttpRequest, **options: Any) -> Any:
        return StaffList

    def get_list_display(self, request: HttpRequest) -> Any:
        return [self._column(name) for name in super().get_list_display(request)]

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        """The first column that is no link itself leads to the object's page."""
        return [next(name for name in list_display if not getattr(name, "is_link", False))]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        names = super().get_readonly_fields(request, obj)
        return (*names, "see_also", *self.with_links(names)) if obj is not None else names

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sets: Any = super().get_fieldsets(request, obj)
        if obj is None:
            return sets
        changeable = self.has_change_permission(request, obj)
        read_only = self.get_readonly_fields(request, obj) if changeable else ()
        shown = []
        for title, options in sets:
            names = [name for name in options["fields"] if name != "see_also" and not callable(name)]
            linked = [
                link if (link := self._with_link(name)) in read_only or not changeable else name for name in names
            ]
            shown.append((title, {**options, "fields": linked}))
        if self.related:
            shown[0][1]["fields"].append("see_also")
        return shown

    def with_links(self, names: Sequence[Any]) -> list[Any]:
        return [self._with_link(name) for name in names]

    @display(description="See also")
    def see_also(self, row: Any) -> SafeString:
        return related_lists(row, self.related)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """Fields that a form declares itself look like those of the model."""
        return styled(super().get_form(request, obj, change, **options))

    def _with_link(self, name: Any) -> Any:
        return reference(name, is_in_list=False) if self._is_linked(name) else name

    def _column(self, name: Any) -> Any:
        if not self._is_linked(name):
            return name
        # An object's own key leads to its page, so it is no link of its own; a person still has an address.
        return own_key(name) if name == self.opts.pk.attname else reference(str(name), is_in_list=True)

    def _is_linked(self, name: object) -> bool:
        return is_reference(name) and not hasattr(self, str(name))


class ReadOnly:
    """Mixin of admins and inlines of a table that only services write: no role can add, change or delete rows."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, ModelAdmin):
    """Read-only list and detail pages."""

    # The count of all rows is a full scan of a large table.
    show_full_result_count = False
    list_per_page = 50


class LargeTableAdmin(LargeTable, ReadOnlyAdmin):
    """Read-only pages of a table of many rows."""


class ReadOnlyInline(ReadOnly, TabularInline):
    """Read-only rows on the page of another object."""

    extra = 0
