"""Log-in to the staff site. Same rules as the API: lockout, second factor, one error for every refusal."""

from typing import Any
from uuid import UUID

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.addresses import normalize_email
from apps.accounts.client_info import ClientInfo, client_info_of
from apps.accounts.models import User
from apps.accounts.services.login import credentials_check
from apps.core.errors import PlatformError


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
        client = client_info_of(request) if request else ClientInfo(address=None, user_agent="")
        try:
            user, _ = credentials_check(
                email=normalize_email(username or ""),
                password=password or "",
                otp=otp,
                client=client,
                now=timezone.now(),
            )
        except (PlatformError, ValueError):
            return None
        return user

    def get_user(self, user_id: Any) -> User | None:
        return User.objects.filter(pk=UUID(str(user_id)), is_active=True).first()
