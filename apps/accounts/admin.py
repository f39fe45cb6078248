"""Accounts on the staff site: users, sessions, outgoing mail and login attempts. No secret is shown or editable."""

import zoneinfo
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.admin.models import LogEntry
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts import staff_acts, staff_people, staff_sessions  # noqa: F401  (they register what the site needs)
from apps.accounts.errors import OtpInvalid, OtpRequired, TooManyAttempts
from apps.accounts.machine_keys_admin import MachineKeyAdmin  # noqa: F401  (registers it)
from apps.accounts.mfa_removal_admin import MfaRemovalAdmin  # noqa: F401  (registers it)
from apps.accounts.models import (
    AccountClosure,
    Door,
    LockoutCounter,
    LogInReport,
    OutgoingMail,
    Passkey,
    User,
    UserSession,
)
from apps.accounts.security_notices_admin import SecurityNoticeAdmin  # noqa: F401  (registers it)
from apps.accounts.services.lockout import lockout_lift
from apps.accounts.services.log_in_reports import failure_report
from apps.accounts.services.mfa import mfa_is_enabled
from apps.accounts.services.sessions import session_end, sessions_end_all
from apps.accounts.services.staff import user_update_by_staff
from apps.core.admin import LargeTableAdmin, ModelAdmin, ReadOnlyAdmin
from apps.core.errors import PlatformError
from apps.core.identity.client_info import client_info_of
from apps.core.identity.principal import ACCOUNT_ROLES, Role
from apps.core.staff.large_lists import LargeTable, Since
from apps.core.staff.references import Related
from apps.core.staff.widgets import styled
from apps.core.staff_actions import LONGEST_REASON, ActedOn

_REFUSALS: dict[type[PlatformError], str] = {OtpRequired: "Enter your one-time password, or a recovery code."}


@styled
class StaffLoginForm(AdminAuthenticationForm):
    """E-mail address, password, and a one-time password if the account has two-factor log-in."""

    otp = forms.CharField(required=False, max_length=24, label="One-time password", help_text="If you have one set up.")

    def clean(self) -> dict[str, Any]:
        username, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if username is not None and password:
            otp = self.cleaned_data.get("otp", "")
            try:
                self.user_cache = authenticate(self.request, username=username, password=password, otp=otp)
            except (TooManyAttempts, OtpRequired, OtpInvalid) as error:
                raise forms.ValidationError(_REFUSALS.get(type(error), error.message), code=error.code) from None
            if self.user_cache is None:
                raise self.get_invalid_login_error()
            self._confirm_staff(self.user_cache)
        return self.cleaned_data

    def _confirm_staff(self, user: Any) -> None:
        try:
            self.confirm_login_allowed(user)
        except forms.ValidationError:
            assert self.request is not None
            client, reason = client_info_of(self.request), LogInReport.Reason.NOT_STAFF
            failure_report(email=user.email, reason=reason, door=Door.STAFF_SITE, client=client, now=timezone.now())
            raise


# Roles are the only source of permissions: a group of Django's would grant nothing.
admin.site.unregister(Group)
admin.site.login_form = StaffLoginForm
admin.site.login_template = "accounts/staff_login.html"


def _is_admin(request: HttpRequest) -> bool:
    staff: Any = request.user
    return Role.ADMIN in staff.roles


class UserForm(forms.ModelForm):  # type: ignore[type-arg]
    because = forms.CharField(max_length=LONGEST_REASON, label="Reason")

    class Meta:
        model = User
        fields = ("name", "time_zone", "roles", "is_active")


@admin.register(User)
class UserAdmin(LargeTable, ModelAdmin):
    """Accounts are created by registration or `manage.py create_staff`. They are disabled, never deleted."""

    list_display = ("email", "name", "shown_roles", "is_active", "has_mfa", "created_at", "last_login")
    list_filter = (Since, "is_active")
    search_keys = ("pk", "email__startswith")
    search_help_text = "A whole id, or the beginning of an e-mail address"
    related = (
        Related("Bots", "bots.bot"),
        Related("Orders", "bots.botorder"),
        Related("Keys", "vault.credential"),
        Related("Exchange accounts", "risk.account"),
        Related("Halts", "risk.halt"),
        Related("Alerts", "bots.alert"),
        Related("Sessions", "accounts.usersession"),
        Related("Machine keys", "core.machinekey"),
        Related("Onboarding", "onboarding.onboarding"),
        Related("Events", "events.storedevent"),
    )
    readonly_fields = ("id", "email", "email_verified_at", "has_mfa", "created_at", "last_login")
    form = UserForm
    _SHOWN = ("id", "email", "email_verified_at", "name", "time_zone", "roles", "is_active", "has_mfa", "created_at",
              "last_login")  # fmt: skip
    actions = ("end_sessions", "lift_lock")

    @admin.display(description="Roles")
    def shown_roles(self, user: User) -> str:
        return ", ".join(user.roles)

    @admin.display(description="Two-factor", boolean=True)
    def has_mfa(self, user: User) -> bool:
        return mfa_is_enabled(user_id=user.id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and (
            obj is None or not obj.is_staff or _is_admin(request) or obj == request.user
        )

    def get_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return (*self._SHOWN, "because") if self.has_change_permission(request, obj) else self._SHOWN

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Hides what the service would refuse: only an admin changes roles and `is_active`, and never their own."""
        names = super().get_readonly_fields(request, obj)
        return names if _is_admin(request) and obj != request.user else (*names, "roles", "is_active")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "roles":
            choices = [(role.value, role.value) for role in ACCOUNT_ROLES]
            return forms.MultipleChoiceField(choices=choices, widget=forms.CheckboxSelectMultiple, required=False)
        if db_field.name == "time_zone":
            zones = sorted(zoneinfo.available_timezones())
            return forms.ChoiceField(choices=[(zone, zone) for zone in zones], label="Time zone")
        return super().formfield_for_dbfield(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        staff: Any = request.user
        user_update_by_staff(
            user_id=obj.id,
            changes={name: form.cleaned_data[name] for name in form.changed_data if name != "because"},
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
class UserSessionAdmin(LargeTableAdmin):
    list_display = ("user", "created_at", "last_used_at", "expires_at", "address", "method", "revoked_at",
                    "revoked_reason")  # fmt: skip
    list_filter = (Since, "revoked_reason", "method")
    search_keys = ("pk", "user_id")
    search_help_text = "A whole id, or an e-mail address"
    list_select_related = ("user",)
    exclude = ("token_digest", "previous_digest", "rotated_by")
    actions = ("end",)

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_usersession")

    @admin.action(description="End the selected sessions", permissions=["end"])
    def end(self, request: HttpRequest, sessions: QuerySet[UserSession]) -> ActedOn:
        now, ended = timezone.now(), []
        for session in sessions:
            try:
                session_end(
                    session_id=session.pk,
                    user_id=session.user_id,
                    ending=UserSession.Ending.ENDED_BY_STAFF,
                    now=now,
                )
            except PlatformError as error:
                self.message_user(request, f"{session.pk}: {error.message}", level=messages.ERROR)
            else:
                ended.append(session.pk)
        self.message_user(request, f"{len(ended)} sessions ended.")
        return ActedOn(tuple(ended))


@admin.register(Passkey)
class PasskeyAdmin(ReadOnlyAdmin):
    list_display = ("user", "name", "created_at", "last_used_at", "sign_count", "is_synced")
    list_filter = ("is_synced", "created_at")
    search_fields = ("user__email", "=id")
    list_select_related = ("user",)
    ordering = ("-created_at",)
    exclude = ("credential_id", "public_key")


@admin.register(OutgoingMail)
class OutgoingMailAdmin(LargeTableAdmin):
    list_display = ("email", "kind", "created_at", "sent_at", "attempts", "last_error")
    list_filter = ("kind", ("sent_at", admin.EmptyFieldListFilter))
    search_keys = ("email",)
    search_help_text = "A whole e-mail address"


@admin.register(LockoutCounter)
class LockoutCounterAdmin(ReadOnlyAdmin):
    """Attempt counters of accounts and network addresses. Unlock an account from the list of accounts."""

    list_display = ("id", "kind", "attempts", "window_ends_at")
    list_filter = ("kind",)
    ordering = ("-attempts",)
    fields = ("kind", "attempts", "window_ends_at")


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """Django's own log of the staff site. Each row is an event as well (`staff.acted`), with reason and session."""

    list_display = ("action_time", "user", "action_flag", "content_type", "object_id", "change_message")
    list_filter = ("action_flag", "action_time")
    list_select_related = ("user", "content_type")
    search_fields = ("=object_id", "user__email")
    ordering = ("-action_time", "-id")


@admin.register(AccountClosure)
class AccountClosureAdmin(ReadOnlyAdmin):
    """Accounts that their owners closed, the unfinished first, with what other services still have."""

    list_display = ("user_id", "requested_at", "finished_at", "steps", "next_step_at", "remaining")
    list_filter = (("finished_at", admin.EmptyFieldListFilter),)
    ordering = (F("finished_at").desc(nulls_first=True), "-requested_at")
    fields = ("user_id", "requested_at", "abandons", "remaining", "steps", "next_step_at", "finished_at")
