"""Pages of the staff site besides Django's admin: two-factor set-up, and what the gateway asks before it lets in."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from apps.accounts.errors import MfaNotSetUp, OtpWrong, PasswordWrong, TooManyAttempts
from apps.accounts.models import Door, LogInReport, User
from apps.accounts.services.lockout import lockout_count_attempt, lockout_forgive_attempt
from apps.accounts.services.log_in_reports import failure_report
from apps.accounts.services.mfa import MfaSetup, mfa_is_enabled, mfa_set_up
from apps.accounts.services.mfa_activation import mfa_switch_on
from apps.accounts.staff_sessions import (
    LOG_IN,
    SECOND_FACTOR_ELSEWHERE,
    SITE,
    end,
    is_complete,
    needs_second_factor,
    note_second_factor,
)
from apps.core.errors import PlatformError
from apps.core.identity.access import ANYONE, STAFF, with_access
from apps.core.identity.client_info import client_info_of
from apps.core.identity.principal import PrincipalAuthentication, Role
from apps.core.staff.widgets import styled

# What the gateway asks about, and the roles that may see it: any staff where none is named.
FLOWER, DOCUMENTS = "flower", "documents"
AREAS: dict[str, frozenset[Role]] = {FLOWER: frozenset({Role.OPERATOR, Role.ADMIN}), DOCUMENTS: frozenset()}


@styled
class PasswordForm(forms.Form):
    password = forms.CharField(
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True})
    )


@styled
class CodeForm(forms.Form):
    otp = forms.CharField(max_length=6, label="Code", widget=forms.TextInput(attrs={"autocomplete": "one-time-code"}))


@with_access(STAFF)
@never_cache
@login_required(login_url=LOG_IN)
def two_factor(request: HttpRequest) -> HttpResponse:
    """Sets an authenticator up: the password, then its code, then the recovery codes, once."""
    if not needs_second_factor(request):
        return redirect(SITE)
    user: Any = request.user
    if mfa_is_enabled(user_id=user.id):
        # Set up elsewhere since this session began, which has not proved it.
        end(request, SECOND_FACTOR_ELSEWHERE)
        return redirect(LOG_IN)
    if request.method != "POST":
        return _page(request, PasswordForm())
    return _confirm(request, user) if "otp" in request.POST else _begin(request, user)


def _begin(request: HttpRequest, user: User) -> HttpResponse:
    form = PasswordForm(request.POST)
    if not form.is_valid():
        return _page(request, form)
    client, now = client_info_of(request), timezone.now()
    try:
        attempt = lockout_count_attempt(email=user.email, client=client, door=Door.STAFF_SITE, now=now)
        setup = mfa_set_up(user_id=user.id, password=form.cleaned_data["password"], now=now)
    except (TooManyAttempts, PasswordWrong) as error:
        if isinstance(error, PasswordWrong):
            reason = LogInReport.Reason.PASSWORD
            failure_report(email=user.email, reason=reason, door=Door.STAFF_SITE, client=client, now=now)
        form.add_error("password", error.message)
        return _page(request, form)
    lockout_forgive_attempt(attempt)
    return _page(request, CodeForm(), setup=setup)


def _confirm(request: HttpRequest, user: User) -> HttpResponse:
    form = CodeForm(request.POST)
    if not form.is_valid():
        return _page(request, form)
    try:
        otp = form.cleaned_data["otp"].strip()
        codes = mfa_switch_on(user_id=user.id, session_id=None, otp=otp, now=timezone.now())
    except MfaNotSetUp:
        return redirect(request.path)
    except (OtpWrong, PlatformError) as error:
        form.add_error("otp", error.message)
        return _page(request, form)
    note_second_factor(request)
    return _page(request, None, codes=codes)


def _page(
    request: HttpRequest, form: forms.Form | None, *, setup: MfaSetup | None = None, codes: list[str] | None = None
) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "Two-factor log-in",
        "form": form,
        "asks_for_code": isinstance(form, CodeForm),
        "secret": setup.secret if setup else None,
        # Made by segno from the secret; nothing of the request is in it but the account's own address, encoded.
        "qr_svg": mark_safe(setup.qr_svg) if setup else None,  # noqa: S308  # nosec B308, B703
        "codes": codes,
    }
    return TemplateResponse(request, "accounts/staff_two_factor.html", context)


@with_access(ANYONE)
@never_cache
def authorize(request: HttpRequest, area: str) -> HttpResponse:
    """204 where the caller may see the area, 401 without a log-in, 403 with a role that may not.

    The gateway asks before it passes a request on. The documents of the API are also for holders of an access token.
    """
    roles = AREAS.get(area)
    if roles is None:
        return HttpResponse(status=403)
    user: Any = request.user
    if is_complete(request):
        return HttpResponse(status=204 if not roles or not roles.isdisjoint(user.roles) else 403)
    return HttpResponse(status=204 if area == DOCUMENTS and _has_token(request) else 401)


def _has_token(request: HttpRequest) -> bool:
    try:
        return PrincipalAuthentication().authenticate(Request(request)) is not None
    except (APIException, PlatformError):
        return False
