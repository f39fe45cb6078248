"""The staff site's page to change one's own password: by the same service as in the API."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts.errors import PasswordWrong, TooManyAttempts
from apps.accounts.models import Door, LogInReport, User
from apps.accounts.services.lockout import lockout_count_attempt, lockout_forgive_attempt
from apps.accounts.services.log_in_reports import failure_report
from apps.accounts.services.login import password_matches
from apps.accounts.services.passwords import password_change
from apps.core.identity.access import STAFF, with_access
from apps.core.identity.client_info import client_info_of
from apps.core.staff.widgets import styled


@styled
class StaffPasswordForm(AdminPasswordChangeForm):
    """Attempts at the present password are counted as at log-in."""

    request: HttpRequest

    def clean_old_password(self) -> str:
        password: str = self.cleaned_data["old_password"]
        client, now = client_info_of(self.request), timezone.now()
        try:
            attempt = lockout_count_attempt(email=self.user.email, client=client, door=Door.STAFF_SITE, now=now)
            if not password_matches(self.user, password):
                reason = LogInReport.Reason.PASSWORD
                failure_report(email=self.user.email, reason=reason, door=Door.STAFF_SITE, client=client, now=now)
                raise PasswordWrong()
        except (TooManyAttempts, PasswordWrong) as error:
            raise forms.ValidationError(error.message, code=error.code) from None
        lockout_forgive_attempt(attempt)
        return password

    def save(self, commit: bool = True) -> User:
        password_change(
            user_id=self.user.pk,
            session_id=None,
            current_password=self.cleaned_data["old_password"],
            new_password=self.cleaned_data["new_password1"],
            now=timezone.now(),
        )
        self.user.refresh_from_db()
        return self.user


class StaffPasswordView(PasswordChangeView):
    form_class = StaffPasswordForm
    success_url = "/admin/password_change/done/"
    template_name = "registration/password_change_form.html"

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        form.request = self.request  # type: ignore[attr-defined]  # of StaffPasswordForm
        return form

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return {**super().get_context_data(**context), **admin.site.each_context(self.request)}


@with_access(STAFF)
def staff_password(request: HttpRequest) -> HttpResponse:
    """In place of Django's own page, which writes past the service."""
    view: Any = admin.site.admin_view(StaffPasswordView.as_view(), cacheable=True)
    response: HttpResponse = view(request)
    return response
