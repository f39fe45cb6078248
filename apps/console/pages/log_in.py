"""Logging in and out."""

import hashlib
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.console.api_client import accounts
from apps.console.api_client.base import ApiRefused, ApiUnavailable
from apps.console.forms.accounts import LogInForm
from apps.console.forms.base import ApiForm
from apps.console.pages import held
from apps.console.pages.base import FormPage, Page, redirect_to
from apps.console.pages.errors import answer_to
from apps.console.requests import console_request
from apps.console.session import login
from apps.console.session.names import DAY_SECONDS, DEVICE, cookie_name
from apps.console.session.sealed import seal, unseal
from apps.core.identity.access import ANYONE

_DEVICE, _FIRST_STEP = "device", "first step of a log-in"
_DEVICE_SECONDS = 90 * DAY_SECONDS
# People who log in with several accounts on one device
_DEVICES_KEPT = 4


class LogInPage(FormPage):
    access = ANYONE
    form_class = LogInForm
    template_name = "console/log_in.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if self.asked.log_in is not None:
            return redirect_to(after(request.GET.get("next", "")))
        return super().get(request, **kwargs)

    def initial(self, **kwargs: Any) -> dict[str, Any]:
        return {"next": self.request.GET.get("next", "")}

    def context(self, **kwargs: Any) -> dict[str, Any]:
        return {
            "is_held": bool(self.request.POST.get("held")),
            "has_ended": "ended" in self.request.GET,
            "is_second_step": bool(self.request.POST.get("first_step")),
        }

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if self.asked.log_in is not None and request.POST.get("held"):
            # Logged in by a passkey in between.
            return self._resumed(request.POST["held"], "")
        form = self.form_class(request.POST)
        if form.is_valid():
            try:
                return self.send(form)
            except ApiRefused as refused:
                if refused.code == "otp_required":
                    return self._second_step(form)
                form.take(refused)
        return self.render(form=form, **self.context())

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponseBase:
        given = form.cleaned_data
        email, password = given["email"], self._password(form)
        if not password:
            form.add_error("password", _("Enter your password."))
            return self.render(form=form, **self.context())
        devices = devices_of(self.request)
        tokens = accounts.log_in(
            self.api, email=email, password=password, otp=given["otp"], device_token=devices.get(_digest(email), "")
        )
        answer = self._entered(tokens, given["held"], given["next"])
        remember_device(answer, devices, email, tokens.device_token)
        return answer

    def _entered(self, tokens: accounts.Tokens, sealed: str, where: str) -> HttpResponseBase:
        begin(self.request, tokens)
        return self._resumed(sealed, where)

    def _resumed(self, sealed: str, where: str) -> HttpResponseBase:
        kept = held.held_in(sealed)
        if kept is not None:
            return held.go_on(self.request, kept, sends=False, failed=answer_to) or redirect_to(kept.page)
        return redirect_to(after(where))

    def _password(self, form: ApiForm) -> str:
        kept = unseal(form.cleaned_data["first_step"], purpose=_FIRST_STEP, max_age_seconds=600)
        email = form.cleaned_data["email"]
        return str(kept[1]) if kept and kept[0] == email else str(form.cleaned_data["password"])

    def _second_step(self, form: ApiForm) -> HttpResponse:
        """The password was right. It comes back with the code, encrypted, so that it is typed once."""
        given = form.cleaned_data
        initial = {
            "email": given["email"],
            "first_step": seal([given["email"], self._password(form)], purpose=_FIRST_STEP),
            "held": given["held"],
            "next": given["next"],
        }
        return self.render(form=self.form_class(initial=initial), **self.context() | {"is_second_step": True})


class LogOutPage(Page):
    http_method_names = ["post"]
    access = ANYONE

    def post(self, request: HttpRequest) -> HttpResponse:
        found = self.asked.log_in
        if found is not None:
            found.is_ended = found.is_changed = True
            # The cookie goes in any case; the session of the API ends by itself.
            with suppress(ApiRefused, ApiUnavailable):
                accounts.log_out(self.api, refresh=found.refresh)
        answer = redirect_to(reverse("log-in"))
        # What the back button would show
        answer["Clear-Site-Data"] = '"cache"'
        return answer


def begin(request: HttpRequest, tokens: accounts.Tokens) -> None:
    """From here on the request, and the browser, have this log-in."""
    asked = console_request(request)
    asked.log_in = login.LogIn(tokens.access, tokens.refresh, is_changed=True)
    asked.api.log_in = asked.log_in
    # Without it pages show times in UTC until the account's page is opened.
    with suppress(ApiRefused, ApiUnavailable):
        accounts.me(asked.api)


def after(where: str) -> str:
    return where if where and held.is_ours(where) else reverse("home")


def _digest(email: str) -> str:
    return hashlib.sha256(email.strip().casefold().encode()).hexdigest()[:16]


def devices_of(request: HttpRequest) -> dict[str, str]:
    """Device tokens by account, of this browser."""
    sealed = request.COOKIES.get(cookie_name(DEVICE), "")
    found = unseal(sealed, purpose=_DEVICE, max_age_seconds=_DEVICE_SECONDS) if sealed else None
    return found if isinstance(found, dict) else {}


def remember_device(answer: HttpResponseBase, devices: dict[str, str], email: str, token: str) -> None:
    kept = {name: value for name, value in devices.items() if name != _digest(email)}
    last = dict(list(kept.items())[-(_DEVICES_KEPT - 1) :]) | {_digest(email): token}
    answer.set_cookie(
        cookie_name(DEVICE),
        seal(last, purpose=_DEVICE),
        max_age=_DEVICE_SECONDS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )
