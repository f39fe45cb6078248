"""Accounts on the staff site: users, sessions, outgoing mail and login attempts. No secret is shown or editable."""

import zoneinfo
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import authenticate
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.models import LockoutCounter, MfaDevice, OutgoingMail, User, UserSession
from apps.accounts.services.lockout import lockout_lift
from apps.accounts.services.sessions import sessions_end_all
from apps.accounts.services.staff import user_update_by_staff
from apps.core.admin import ModelAdmin, ReadOnlyAdmin
from apps.core.principal import Role


class StaffLoginForm(AdminAuthenticationForm):
    """E-mail address, password, and a one-time password if the account has two-factor log-in."""

    otp = forms.CharField(required=False, max_length=24, label="One-time password", help_text="If you have one set up.")

    def clean(self) -> dict[str, Any]:
        username, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if username is not None and password:
            otp = self.cleaned_data.get("otp", "")
            self.user_cache = authenticate(self.request, username=username, password=password, otp=otp)
            if self.user_cache is None:
                raise self.get_invalid_login_error()
            self.confirm_login_allowed(self.user_cache)
        return self.cleaned_data


admin.site.login_form = StaffLoginForm
admin.site.login_template = "accounts/staff_login.html"


def _is_admin(request: HttpRequest) -> bool:
    staff: Any = request.user
    return Role.ADMIN in staff.roles


@admin.register(User)
class UserAdmin(ModelAdmin):
    """Accounts are created by registration or `manage.py create_staff`. They are disabled, never deleted."""

    list_display = ("email", "name", "shown_roles", "is_active", "has_mfa", "created_at", "last_login")
    list_filter = ("is_active", "created_at")
    search_fields = ("email", "name", "=id")
    ordering = ("-id",)
    readonly_fields = ("id", "email", "email_verified_at", "has_mfa", "created_at", "last_login")
    fields = ("id", "email", "email_verified_at", "name", "time_zone", "roles", "is_active", "has_mfa", "created_at",
              "last_login")  # fmt: skip
    actions = ("end_sessions", "lift_lock")

    @admin.display(description="Roles")
    def shown_roles(self, user: User) -> str:
        return ", ".join(user.roles)

    @admin.display(description="Two-factor", boolean=True)
    def has_mfa(self, user: User) -> bool:
        return MfaDevice.objects.filter(user=user, confirmed_at__isnull=False).exists()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and (
            obj is None or not obj.is_staff or _is_admin(request) or obj == request.user
        )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Hides what the service would refuse: only an admin changes roles and `is_active`, and never their own."""
        if not _is_admin(request) or obj == request.user:
            return (*self.readonly_fields, "roles", "is_active")
        return self.readonly_fields

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "roles":
            choices = [(role.value, role.value) for role in Role]
            return forms.MultipleChoiceField(choices=choices, widget=forms.CheckboxSelectMultiple, required=False)
        if db_field.name == "time_zone":
            zones = sorted(zoneinfo.available_timezones())
            return forms.ChoiceField(choices=[(zone, zone) for zone in zones], label="Time zone")
        return super().formfield_for_dbfield(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        staff: Any = request.user
        user_update_by_staff(
            user_id=obj.id,
            changes={name: form.cleaned_data[name] for name in form.changed_data},
            staff_id=staff.id,
            staff_roles=frozenset(Role(role) for role in staff.roles),
            now=timezone.now(),
        )

    @admin.action(description="End all sessions of the selected accounts", permissions=["change"])
    def end_sessions(self, request: HttpRequest, users: QuerySet[User]) -> None:
        now = timezone.now()
        ended = sum(
            sessions_end_all(user_id=user.id, ending=UserSession.Ending.ENDED_BY_STAFF, now=now) for user in users
        )
        self.message_user(request, f"{ended} sessions ended.")

    @admin.action(description="Lift the log-in lock of the selected accounts", permissions=["change"])
    def lift_lock(self, request: HttpRequest, users: QuerySet[User]) -> None:
        for user in users:
            lockout_lift(email=user.email)
        self.message_user(request, f"{len(users)} accounts may log in again.")


@admin.register(UserSession)
class UserSessionAdmin(ReadOnlyAdmin):
    list_display = ("user", "created_at", "last_used_at", "expires_at", "address", "method", "revoked_at",
                    "revoked_reason")  # fmt: skip
    list_filter = ("revoked_reason", "method", "created_at")
    search_fields = ("user__email", "=id", "=address")
    list_select_related = ("user",)
    ordering = ("-created_at",)
    exclude = ("token_digest", "previous_digest")


@admin.register(OutgoingMail)
class OutgoingMailAdmin(ReadOnlyAdmin):
    list_display = ("email", "kind", "created_at", "sent_at", "attempts", "last_error")
    list_filter = ("kind", "sent_at")
    search_fields = ("email",)
    ordering = ("-created_at",)


@admin.register(LockoutCounter)
class LockoutCounterAdmin(ReadOnlyAdmin):
    """Attempt counters of accounts and network addresses. Unlock an account from the list of accounts."""

    list_display = ("id", "kind", "attempts", "window_ends_at")
    list_filter = ("kind",)
    ordering = ("-attempts",)
    fields = ("kind", "attempts", "window_ends_at")
