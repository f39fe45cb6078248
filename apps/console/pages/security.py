"""Security of the account: second factors, sessions, machine keys, activity."""

import json
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from apps.console.activity_texts import described
from apps.console.api_client import accounts, activity, machine_keys, second_factors
from apps.console.api_client.base import ApiRefused, ApiUnavailable, SessionEnded
from apps.console.forms.base import ApiForm
from apps.console.forms.security import (
    AuthenticatorCodeForm,
    AuthenticatorForm,
    DisableForm,
    MachineKeyForm,
    PasskeyForm,
)
from apps.console.pages.base import FormPage, Page
from apps.console.session.sealed import seal, unseal
from apps.console.texts import sentence_for
from apps.core.identity.access import ANYONE

_SET_UP, _SET_UP_SECONDS = "set-up of an authenticator", 900.0


class SecurityPage(Page):
    template_name = "console/security/overview.html"

    def context(self, **kwargs: Any) -> dict[str, Any]:
        return {"passkeys": second_factors.passkeys(self.api), "passkey_form": PasskeyForm()}


class AuthenticatorPage(FormPage):
    """Set-up in two steps: the password, then the app's first code. The recovery codes are shown once."""

    form_class = AuthenticatorForm
    template_name = "console/security/authenticator.html"

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if request.POST.get("set_up"):
            return self._confirm(request)
        return super().post(request, **kwargs)

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        made = second_factors.set_up(self.api, password=form.cleaned_data["password"])
        kept = seal([made.secret, made.qr_svg], purpose=_SET_UP)
        return self._ask_for_code(AuthenticatorCodeForm(initial={"set_up": kept}), made.secret, made.qr_svg)

    def _confirm(self, request: HttpRequest) -> HttpResponse:
        form = AuthenticatorCodeForm(request.POST)
        kept = unseal(request.POST["set_up"], purpose=_SET_UP, max_age_seconds=_SET_UP_SECONDS)
        if kept is None:
            return self.see_other("authenticator")
        if form.is_valid():
            try:
                codes = second_factors.confirm(self.api, otp=form.cleaned_data["otp"])
            except ApiRefused as refused:
                if not form.take(refused):
                    raise
            else:
                return self.render("console/security/recovery_codes.html", codes=codes)
        return self._ask_for_code(form, *kept)

    def _ask_for_code(self, form: ApiForm, secret: str, qr_svg: str) -> HttpResponse:
        grouped = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
        return self.render(form=form, secret=grouped, qr_svg=qr_svg, is_second_step=True)


class DisablePage(FormPage):
    form_class = DisableForm
    template_name = "console/security/disable.html"

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        second_factors.disable(self.api, **form.values("password", "otp"), key=form.key)
        return self.see_other("security", note=_("Two-factor log-in is off."))


class PasskeyRemovePage(Page):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, passkey_id: UUID) -> HttpResponse:
        second_factors.remove_passkey(self.api, passkey_id, key=request.POST.get("idempotency_key", ""))
        return self.see_other("security", note=_("The passkey is removed."))


class JsonPage(Page):
    """For the module `passkeys.js`: answers the JSON that it needs, or a sentence as `error`."""

    http_method_names = ["post"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.access is not ANYONE and self.asked.log_in is None:
            return _logged_out()
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            return JsonResponse(self.answer(json.loads(request.body or b"{}")))
        except SessionEnded:
            return _logged_out()
        except ApiRefused as refused:
            return JsonResponse({"error": sentence_for(refused), "code": refused.code})
        except ApiUnavailable:
            return JsonResponse({"error": str(_("The platform does not answer. Try again."))})
        except ValueError:
            return JsonResponse({"error": str(_("That did not work. Try again."))}, status=400)

    def answer(self, given: Any) -> dict[str, Any]:
        raise NotImplementedError


def _logged_out() -> HttpResponse:
    return JsonResponse({"error": str(_("You are logged out. Load the page again."))})


class PasskeyOptionsPage(JsonPage):
    def answer(self, given: Any) -> dict[str, Any]:
        return {"options": second_factors.creation_options(self.api)}


class PasskeyAddPage(JsonPage):
    def answer(self, given: Any) -> dict[str, Any]:
        name = str(given.get("name") or _("My device"))
        return {"recovery_codes": second_factors.add_passkey(self.api, name=name, credential=given["credential"])}


class StepUpOptionsPage(JsonPage):
    def answer(self, given: Any) -> dict[str, Any]:
        return {"options": second_factors.step_up_options(self.api)}


class StepUpPasskeyPage(JsonPage):
    def answer(self, given: Any) -> dict[str, Any]:
        accounts.step_up(self.api, passkey=given["credential"])
        return {}


class SessionsPage(Page):
    template_name = "console/security/sessions.html"

    def context(self, **kwargs: Any) -> dict[str, Any]:
        return {"page": accounts.sessions(self.api, self.request.GET.get("cursor"))}


class SessionEndPage(Page):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, session_id: UUID) -> HttpResponse:
        accounts.end_session(self.api, session_id, key=request.POST.get("idempotency_key", ""))
        return self.see_other("sessions", note=_("The session has ended."))


class MachineKeysPage(FormPage):
    form_class = MachineKeyForm
    template_name = "console/security/machine_keys.html"

    def context(self, **kwargs: Any) -> dict[str, Any]:
        return {"page": machine_keys.listed(self.api, self.request.GET.get("cursor"))}

    def send(self, form: ApiForm, **kwargs: Any) -> HttpResponse:
        assert isinstance(form, MachineKeyForm)
        made = machine_keys.make(self.api, **form.body())
        return self.render("console/security/machine_key_made.html", made=made)


class MachineKeyRevokePage(Page):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, key_id: UUID) -> HttpResponse:
        machine_keys.revoke(self.api, key_id, key=request.POST.get("idempotency_key", ""))
        return self.see_other(
            "machine-keys", note=_("The key is revoked: every service refuses it within five seconds.")
        )


class ActivityPage(Page):
    template_name = "console/security/activity.html"

    def context(self, **kwargs: Any) -> dict[str, Any]:
        page = activity.listed(self.api, self.request.GET.get("cursor"))
        return {"page": page, "entries": [(entry, described(entry)) for entry in page.results]}
