"""Log-in to the staff site. Same rules as the API: lockout, second factor, one error for wrong credentials."""

from typing import Any
from uuid import UUID

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.addresses import normalize_email
from apps.accounts.errors import OtpInvalid, OtpRequired, TooManyAttempts
from apps.accounts.models import Door, User, UserSession
from apps.accounts.services.login import credentials_check
from apps.core.errors import PlatformError
from apps.core.identity.client_info import ClientInfo, client_info_of


class RoleBackend(BaseBackend):
    """Authenticates staff. Permissions come from the roles of the account (User.has_perm)."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        otp: str = "",
        **credentials: Any,
    ) -> User | None:
        """Raises TooManyAttempts, OtpRequired, OtpInvalid."""
        client = client_info_of(request) if request else ClientInfo(address=None, user_agent="")
        try:
            user, method = credentials_check(
                email=normalize_email(username or ""),
                password=password or "",
                otp=otp,
                client=client,
                door=Door.STAFF_SITE,
                now=timezone.now(),
            )
        except (TooManyAttempts, OtpRequired, OtpInvalid):
            raise  # for the form: none of them says whether the account exists to a caller without its password
        except (PlatformError, ValueError):
            return None
        # For the session that begins with it (apps.accounts.staff_sessions)
        user.used_second_factor = method == UserSession.Method.PASSWORD_AND_OTP  # type: ignore[attr-defined]
        return user

    def get_user(self, user_id: Any) -> User | None:
        return User.objects.filter(pk=UUID(str(user_id)), is_active=True).first()
