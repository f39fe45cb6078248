"""The authenticated caller, read from the signed access token alone.

No account is looked up: only the user service has the accounts and the signing key.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import get_authorization_header
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.models import TokenUser
from rest_framework_simplejwt.tokens import Token

from apps.core.identity.access_tokens import claims_are_sound
from apps.core.identity.actor import Actor, ActorKind
from apps.core.identity.assurance import Assurance
from apps.core.identity.client_info import address_of
from apps.core.identity.machine_key_format import PREFIX
from apps.core.identity.machine_keys import KnownMachineKey, machine_key_verify
from apps.core.identity.revocations import session_is_revoked
from apps.core.identity.verified_tokens import verified_tokens
from apps.core.models import KeyScope


class Role(StrEnum):
    """What a caller may do (docs/api.md). SERVICE is that of another service of the platform, never of an account."""

    TRADER = "trader"
    SUPPORT = "support"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    ADMIN = "admin"
    SERVICE = "service"


ACCOUNT_ROLES = tuple(role for role in Role if role is not Role.SERVICE)

# Claims of an access token that only apps.accounts.tokens writes.
EMAIL_VERIFIED_CLAIM = "email_verified"
MFA_CLAIM = "mfa"
STEPPED_UP_CLAIM = "stepped_up_at"


def account_actor(*, user_id: UUID, roles: Iterable[str], session_id: UUID | None) -> Actor:
    """An account as events name it: staff where it has a role besides the trader's."""
    kind = ActorKind.USER if set(roles) <= {Role.TRADER} else ActorKind.STAFF
    return Actor(kind, str(user_id), session_id=session_id)


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
        return frozenset(Role(role) for role in self.token.get("roles", ()) if role in ACCOUNT_ROLES)

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

    @property
    def actor(self) -> Actor:
        """The caller as events name it."""
        return account_actor(user_id=self.user_id, roles=self.roles, session_id=self.session_id)


class MachineKeyPrincipal(Principal):
    """A script with a machine key of a user. It has the role trader and no session.

    Its scopes say what it may do (apps.core.api.machine_key_access). A key that trades live was made with a step-up,
    which stands for that of each call: it passes the gates before live trading; the caps hold for it as for its owner.
    """

    def __init__(self, key: KnownMachineKey, *, address: str | None) -> None:
        claims: dict[str, Any] = {"user_id": str(key.user_id), "roles": [Role.TRADER.value], EMAIL_VERIFIED_CLAIM: True}
        super().__init__(claims)  # type: ignore[arg-type]  # it reads claims, of a token or another mapping
        self.key_id = key.id
        self.scopes = key.scopes
        self.address = address

    @property
    def assurance(self) -> Assurance:
        is_live = KeyScope.TRADE_LIVE in self.scopes
        return Assurance(has_verified_email=True, has_mfa=is_live, stepped_up_at=datetime.now(UTC) if is_live else None)

    @property
    def actor(self) -> Actor:
        return Actor(ActorKind.USER, str(self.user_id), key_id=self.key_id)


class PrincipalAuthentication(JWTStatelessUserAuthentication):
    """Authentication by bearer token: signature, issuer, audience, expiry and the form of the claims are verified, and
    that its session has not ended.

    A machine key is taken in its place (apps.core.identity.machine_keys).
    """

    def authenticate(self, request: Request) -> Any:
        scheme, _, key = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() == "bearer" and key.startswith(PREFIX):
            address = address_of(request._request)
            return MachineKeyPrincipal(machine_key_verify(key.strip(), address=address), address=address), None
        return super().authenticate(request)

    def get_user(self, validated_token: Token) -> Any:
        principal: Any = super().get_user(validated_token)
        if principal.session_id is not None and session_is_revoked(principal.session_id):
            raise InvalidToken("The session has ended.")
        return principal

    def get_validated_token(self, raw_token: bytes) -> Token:
        token = verified_tokens.get(raw_token, lambda: self._verify(raw_token))
        try:
            token.check_exp(current_time=datetime.now(UTC))
        except TokenError:
            raise InvalidToken("The token has expired.") from None
        return token

    def _verify(self, raw_token: bytes) -> Token:
        token = super().get_validated_token(raw_token)
        if not claims_are_sound(token):
            raise InvalidToken("The token lacks a claim, or has a malformed one.")
        return token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def principal_of(request: Request) -> Principal:
    """The caller, in a view that requires authentication."""
    user: Any = request.user
    assert isinstance(user, Principal)
    return user


class PrincipalAuthenticationScheme(OpenApiAuthenticationExtension):
    target_class = "apps.core.identity.principal.PrincipalAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
