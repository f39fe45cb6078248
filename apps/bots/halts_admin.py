"""Halts on the staff site: operators set and lift them, each with a reason. Nothing is deleted."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from apps.bots.services.halts import halt_set_by_staff, subject_owner
from apps.core.admin import ModelAdmin
from apps.core.errors import Malformed
from apps.risk.models.halts import PLATFORM_ID, Halt, HaltLevel, HaltScope
from apps.risk.services.halts import halt_lift_by_id

if TYPE_CHECKING:
    HaltForm = forms.ModelForm[Halt]
else:
    HaltForm = forms.ModelForm


class HaltSetForm(HaltForm):
    subject_id = forms.UUIDField(
        required=False, label="Id", help_text="Of the bot, the exchange key or the user; empty for the whole platform."
    )
    reason = forms.CharField(max_length=500, help_text="Users see it.")

    class Meta:
        model = Halt
        fields = ("scope", "subject_id", "level", "reason")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        scope, subject_id = cleaned.get("scope"), cleaned.get("subject_id")
        if scope == HaltScope.PLATFORM:
            if subject_id is not None:
                raise forms.ValidationError("A halt of the whole platform has no id.")
            cleaned["subject_id"] = PLATFORM_ID
        elif scope:
            try:
                self.instance.user_id = subject_owner(HaltScope(scope), subject_id)
            except Malformed as error:
                raise forms.ValidationError(error.message) from None
        return cleaned

    def _get_validation_exclusions(self) -> set[str]:
        # The service fills in the other fields, so the constraints are the database's to check.
        return {field.name for field in Halt._meta.fields}


class HaltLiftForm(HaltForm):
    lifted_because = forms.CharField(max_length=500, label="Lift it because")

    class Meta:
        model = Halt
        fields = ("lifted_because",)

    def _get_validation_exclusions(self) -> set[str]:
        return {field.name for field in Halt._meta.fields}


@admin.register(Halt)
class HaltAdmin(ModelAdmin):
    """Add a halt to set it; fill in why and save it to lift it."""

    list_display = ("scope", "subject_id", "level", "source", "code", "reason", "set_by", "since", "lifted_at")
    list_filter = (("lifted_at", admin.EmptyFieldListFilter), "scope", "level", "source", "code")
    search_fields = ("=id", "=subject_id", "=user_id", "reason", "set_by")
    ordering = ("-since",)
    _SHOWN = ("id", "scope", "subject_id", "user_id", "level", "source", "code", "reason", "set_by", "since",
              "lifted_at", "lifted_by")  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return HaltSetForm.Meta.fields if obj is None else (*self._SHOWN, "lifted_because")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else (*self._SHOWN, *self.with_links(self._SHOWN))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        return super().get_form(request, obj, change, form=HaltSetForm if obj is None else HaltLiftForm, **options)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.is_in_force)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        staff: Any = request.user
        data, now = form.cleaned_data, timezone.now()
        if change:
            halt_lift_by_id(halt_id=obj.id, lifted_by=str(staff.id), because=data["lifted_because"], now=now)
            return
        halt = halt_set_by_staff(
            scope=HaltScope(data["scope"]),
            subject_id=UUID(str(data["subject_id"])),
            level=HaltLevel(data["level"]),
            reason=data["reason"],
            staff=str(staff.id),
            now=now,
        )
        obj.pk = halt.pk
