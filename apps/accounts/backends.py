"""Log-in to the staff site, by the same rules as to the API: counted attempts, the second factor, one refusal."""

from typing import Any
from uuid import UUID

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.addresses import normalize_email
from apps.accounts.client_info import Client, client_of
from apps.accounts.models import User
from apps.accounts.services.login import credentials_check
from apps.core.errors import PlatformError


class RoleBackend(BaseBackend):
    """What an account may do is asked of the account itself, which knows its roles."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        otp: str = "",
        **credentials: Any,
    ) -> User | None:
        client = client_of(request) if request else Client(address=None, user_agent="")
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
