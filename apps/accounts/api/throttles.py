"""Rate limits per network address, counted in Redis. Without Redis they fail open, unlike the lockout in PostgreSQL."""

from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from apps.accounts import selectors
from apps.accounts.client_info import address_of
from apps.accounts.services.lockout import lockout_count_attempt, step_up_count_attempt
from apps.core.principal import principal_of


class _ByAddress(SimpleRateThrottle):
    def get_cache_key(self, request: Request, view: Any) -> str | None:
        address = address_of(request._request)
        return f"throttle:{self.scope}:{address}" if address else None


class RegisterThrottle(_ByAddress):
    scope = "register"
    rate = "60/min"


class LoginThrottle(_ByAddress):
    scope = "login"
    rate = "120/min"


class RefreshThrottle(_ByAddress):
    scope = "refresh"
    rate = "240/min"


class MailedTokenThrottle(_ByAddress):
    """Requests for a mailed token, and attempts to use one."""

    scope = "mailed_token"
    rate = "30/min"


class PasswordAttemptThrottle(BaseThrottle):
    """Counts a logged-in user's password attempts towards the lockout: a stolen token must not allow guessing.

    It is a throttle because throttles run before the view's transaction, which a refusal rolls back. The service that
    checks the password resets the count when it was correct.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        user = selectors.user_get(user_id=principal_of(request).user_id)
        lockout_count_attempt(email=user.email, address=None, now=timezone.now())
        return True


class StepUpAttemptThrottle(BaseThrottle):
    """Counts attempts at a step-up, as PasswordAttemptThrottle does, on a counter of their own."""

    def allow_request(self, request: Request, view: Any) -> bool:
        step_up_count_attempt(user_id=principal_of(request).user_id, now=timezone.now())
        return True
