"""How often a network address may knock. Counted in Redis; with Redis down nobody is throttled, and the log-in guard
in PostgreSQL still stands."""

from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from apps.accounts import selectors
from apps.accounts.client_info import address_of
from apps.accounts.services.lockout import guard_admit
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
    """Asking for a mailed token, or trying one."""

    scope = "mailed_token"
    rate = "30/min"


class PasswordGuard(BaseThrottle):
    """Counts a logged-in user's tries at their own password like log-ins: a stolen token must not allow guessing.

    It is a throttle because those run before the view's transaction, which a refusal rolls back. The services behind it
    lift the count when the password was right.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        user = selectors.user_get(user_id=principal_of(request).user_id)
        guard_admit(email=user.email, address=None, now=timezone.now())
        return True
