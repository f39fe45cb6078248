"""Log-in by passkey: the browser's own dialogue, by the module `passkeys.js`."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from apps.console.api_client import second_factors
from apps.console.pages import held
from apps.console.pages.log_in import after, begin, devices_of, remember_device
from apps.console.pages.security import JsonPage
from apps.core.identity.access import ANYONE


class OptionsPage(JsonPage):
    access = ANYONE

    def answer(self, given: Any) -> dict[str, Any]:
        return {"options": second_factors.log_in_options(self.api)}


class PasskeyLogInPage(JsonPage):
    """Which account it is follows from the passkey, so every device token of this browser may be the right one."""

    access = ANYONE

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        answer = super().post(request, **kwargs)
        tokens = getattr(self, "_tokens", None)
        if tokens is not None and self.asked.log_in is not None:
            remember_device(answer, devices_of(request), self.asked.log_in.email, tokens.device_token)
        return answer

    def answer(self, given: Any) -> dict[str, Any]:
        known = list(devices_of(self.request).values())
        self._tokens = second_factors.log_in_by_passkey(
            self.api, credential=given["credential"], device_token=known[-1] if known else ""
        )
        begin(self.request, self._tokens)
        kept = held.held_in(str(given.get("held") or ""))
        return {"next": kept.page if kept else after(str(given.get("next") or ""))}
