"""The log-in of a browser: the tokens of its session of the API, kept in an encrypted cookie."""

import base64
import binascii
import json
import time
import zoneinfo
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.console.session.names import DAY_SECONDS
from apps.console.session.sealed import seal, unseal

# A session of the API ends 14 days after its last exchange of tokens (docs/accounts.md).
KEPT_SECONDS = 14 * DAY_SECONDS
# An access token is exchanged before it expires, so that it is good for the whole page.
MARGIN_SECONDS = 30
_PURPOSE = "session"


@dataclass
class LogIn:
    """Tokens, and what every page says of the account. `is_changed`: the cookie must be written again."""

    access: str
    refresh: str
    email: str = ""
    name: str = ""
    time_zone: str = "UTC"
    is_changed: bool = False
    is_ended: bool = False

    @property
    def claims(self) -> dict[str, Any]:
        """What the access token says. Not verified: the service that gave it to us does that at each call."""
        return claims_of(self.access)

    @property
    def is_fresh(self) -> bool:
        """Whether the access token is good for some time yet."""
        return float(self.claims.get("exp", 0)) - MARGIN_SECONDS > time.time()

    @property
    def session_id(self) -> str:
        return str(self.claims.get("sid", ""))

    @property
    def is_email_verified(self) -> bool:
        return bool(self.claims.get("email_verified"))

    @property
    def has_second_factor(self) -> bool:
        return bool(self.claims.get("mfa"))

    @property
    def stepped_up_seconds(self) -> float:
        """For how long the last step-up still counts; 0 without one. A step-up is good for five minutes."""
        return max(0.0, float(self.claims.get("stepped_up_at", 0)) + 300 - time.time())

    @cached_property
    def zone(self) -> zoneinfo.ZoneInfo:
        try:
            return zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            return zoneinfo.ZoneInfo("UTC")

    def take_tokens(self, *, access: str, refresh: str = "") -> None:
        self.access, self.refresh = access, refresh or self.refresh
        self.is_changed = True

    def take_profile(self, *, email: str, name: str, time_zone: str) -> None:
        if (email, name, time_zone) != (self.email, self.name, self.time_zone):
            self.email, self.name, self.time_zone = email, name, time_zone
            self.__dict__.pop("zone", None)
            self.is_changed = True


def claims_of(token: str) -> dict[str, Any]:
    """The payload of a JWT; empty where it is none."""
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}


def read(request: HttpRequest) -> LogIn | None:
    """The log-in of the request's cookie, None without one or with one that is not ours any more."""
    sealed = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    value = unseal(sealed, purpose=_PURPOSE, max_age_seconds=KEPT_SECONDS) if sealed else None
    return LogIn(*value) if isinstance(value, list) and len(value) == 5 else None


def write(response: HttpResponse, log_in: LogIn) -> None:
    """Sets the cookie; an ended log-in takes it away."""
    if log_in.is_ended:
        forget(response)
        return
    parts = [log_in.access, log_in.refresh, log_in.email, log_in.name, log_in.time_zone]
    _set(response, seal(parts, purpose=_PURPOSE), KEPT_SECONDS)


def forget(response: HttpResponse) -> None:
    _set(response, "", 0)


def _set(response: HttpResponse, value: str, seconds: int) -> None:
    response.set_cookie(
        settings.SESSION_COOKIE_NAME,
        value,
        max_age=seconds,
        path="/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
