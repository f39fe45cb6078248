"""The authenticated caller, read from the signed access token alone.

No account is looked up: only the user service has the accounts and the signing key.
"""

from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
from rest_framework_simplejwt.models import TokenUser

from apps.core.assurance import Assurance


class Role(StrEnum):
    """Roles that a token may carry (docs/api.md)."""

    TRADER = "trader"
    SUPPORT = "support"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    ADMIN = "admin"


# Claims of an access token that only apps.accounts.tokens writes.
EMAIL_VERIFIED_CLAIM = "email_verified"
MFA_CLAIM = "mfa"
STEPPED_UP_CLAIM = "stepped_up_at"


class Principal(TokenUser):
    """The caller. Its attributes are the token's claims, as of the time of signing."""

    @cached_property
    def user_id(self) -> UUID:
        return UUID(str(self.token["user_id"]))

    @cached_property
    def session_id(self) -> UUID | None:
        claim = self.token.get("sid")
        return UUID(claim) if claim else None

    @cached_property
    def roles(self) -> frozenset[Role]:
        return frozenset(Role(role) for role in self.token.get("roles", ()) if role in set(Role))

    @property
    def assurance(self) -> Assurance:
        claim = self.token.get(STEPPED_UP_CLAIM)
        return Assurance(
            has_verified_email=self.token.get(EMAIL_VERIFIED_CLAIM) is True,
            has_mfa=self.token.get(MFA_CLAIM) is True,
            stepped_up_at=datetime.fromtimestamp(claim, tz=UTC) if isinstance(claim, int) else None,
        )

    def has_role(self, *roles: Role) -> bool:
        return not self.roles.isdisjoint(roles)


class PrincipalAuthentication(JWTStatelessUserAuthentication):
    """Authentication by bearer token: signature, issuer, audience and expiry are verified."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def principal_of(request: Request) -> Principal:
    """The caller, in a view that requires authentication."""
    user: Any = request.user
    assert isinstance(user, Principal)
    return user


class IsTrader(BasePermission):
    message = "This needs the role trader."

    def has_permission(self, request: Request, view: Any) -> bool:
        caller: Any = request.user
        return isinstance(caller, Principal) and caller.has_role(Role.TRADER, Role.ADMIN)


class PrincipalAuthenticationScheme(OpenApiAuthenticationExtension):
    target_class = "apps.core.principal.PrincipalAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
