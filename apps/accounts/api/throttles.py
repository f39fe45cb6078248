"""Rate limits per network address (IPv6: per /64), counted in Redis.

Without Redis they fail open, unlike the lockout in PostgreSQL.
"""

from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from apps.accounts.services.lockout import password_count_attempt, step_up_count_attempt
from apps.core.identity.client_info import address_of
from apps.core.identity.networks import network_of
from apps.core.identity.principal import principal_of


class _ByAddress(SimpleRateThrottle):
    def get_cache_key(self, request: Request, view: Any) -> str | None:
        address = address_of(request._request)
        return f"throttle:{self.scope}:{network_of(address)}" if address else None


class RegisterThrottle(_ByAddress):
    scope = "register"
    rate = "60/min"


class LoginThrottle(_ByAddress):
    scope = "login"
    rate = "120/min"


class PasskeyThrottle(_ByAddress):
    """Options and answers of a log-in by passkey, counted together."""

    scope = "passkey_login"
    rate = "120/min"


class RefreshThrottle(_ByAddress):
    scope = "refresh"
    rate = "240/min"


class ExportThrottle(SimpleRateThrottle):
    """Exports of an account, from wherever they are asked for."""

    scope = "export"
    rate = "6/hour"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        return f"throttle:{self.scope}:{principal_of(request).user_id}"


class MailedTokenThrottle(_ByAddress):
    """Requests for a mailed token, and attempts to use one."""

    scope = "mailed_token"
    rate = "30/min"


def live_session_of(request: Request) -> UUID:
    """The caller's session, in a view with LiveSessionAuthentication, which refuses a token without one."""
    session_id = principal_of(request).session_id
    assert session_id is not None
    return session_id


class PasswordAttemptThrottle(BaseThrottle):
    """Counts a session's password attempts on a counter of its own: a stolen token must not allow guessing.

    Log-in is not affected, and failures at the log-in do not count here. It is a throttle because throttles run before
    the view's transaction, which a refusal rolls back. The service that checks the password resets the count when it
    was correct.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        password_count_attempt(session_id=live_session_of(request), now=timezone.now())
        return True


class StepUpAttemptThrottle(BaseThrottle):
    """Counts attempts at a step-up, as PasswordAttemptThrottle does, on a counter of their own."""

    def allow_request(self, request: Request, view: Any) -> bool:
        step_up_count_attempt(session_id=live_session_of(request), now=timezone.now())
        return True
