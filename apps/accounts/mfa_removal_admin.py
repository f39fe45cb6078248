"""Removals of a lost second factor on the staff site: asked for on the add page, consented to by an action."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.addresses import normalize_email
from apps.accounts.models import MfaRemoval, User
from apps.accounts.services.mfa_removal import mfa_removal_consent, mfa_removal_request
from apps.core.admin import ModelAdmin
from apps.core.errors import PlatformError
from apps.core.identity.principal import Role
from apps.core.staff_actions import ActedOn


class MfaRemovalForm(forms.ModelForm):  # type: ignore[type-arg]
    """What the service refuses is said on the form."""

    email = forms.CharField(label="E-mail address of the account", max_length=254)

    class Meta:
        model = MfaRemoval
        fields = ("reason",)

    staff_id: Any = None

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            user = User.objects.filter(email=normalize_email(cleaned["email"])).first()
            if user is None:
                raise ValueError("There is no such account.")
            self.instance = mfa_removal_request(
                user_id=user.id, staff_id=self.staff_id, reason=cleaned["reason"], now=timezone.now()
            )
        except (PlatformError, ValueError) as error:
            raise forms.ValidationError(str(error)) from None
        return cleaned


@admin.register(MfaRemoval)
class MfaRemovalAdmin(ModelAdmin):
    """Support or an admin asks; within 24 hours another admin consents. The owner gets a mail both times."""

    form = MfaRemovalForm
    list_display = ("user", "reason", "requested_by", "requested_at", "expires_at", "consented_by", "removed_at")
    list_select_related = ("user", "requested_by", "consented_by")
    search_fields = ("user__email",)
    ordering = ("-requested_at",)
    actions = ("consent",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("email", "reason") if obj is None else self.list_display

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.list_display

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change, **options)
        staff: Any = request.user
        return type(form.__name__, (form,), {"staff_id": staff.id})

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_consent_permission(self, request: HttpRequest) -> bool:
        staff: Any = request.user
        return Role.ADMIN in staff.roles

    def save_model(self, request: HttpRequest, obj: MfaRemoval, form: Any, change: bool) -> None:
        """The form's validation has written the row, through the service."""

    @admin.action(description="Consent: remove the second factor now", permissions=["consent"])
    def consent(self, request: HttpRequest, removals: QuerySet[MfaRemoval]) -> ActedOn:
        staff: Any = request.user
        done = []
        for removal in removals:
            try:
                mfa_removal_consent(removal_id=removal.id, staff_id=staff.id, now=timezone.now())
            except PlatformError as error:
                self.message_user(request, f"{removal}: {error.message}", level=messages.ERROR)
            else:
                done.append(removal.pk)
                self.message_user(request, f"{removal}: the second factor is removed, and every session has ended.")
        return ActedOn(tuple(done))
