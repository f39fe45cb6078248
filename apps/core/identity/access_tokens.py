"""Verification of user tokens: the header's `kid` selects the key."""

from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.tokens import AccessToken

from apps.core.identity.jwk import ALGORITHM
from apps.core.identity.verification_keys import verifying_key

_TIMES = {"exp", "iat", "nbf", "stepped_up_at"}


class VerifyingBackend(TokenBackend):
    """A token without `kid`, or with one that no key has, is not valid."""

    def __init__(self, signing_key: str | None = None) -> None:
        options = settings.SIMPLE_JWT
        super().__init__(ALGORITHM, signing_key, "", options["AUDIENCE"], options["ISSUER"], leeway=options["LEEWAY"])

    def get_verifying_key(self, token: Any) -> Any:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError:
            raise TokenBackendError("The token is malformed.") from None
        key = verifying_key(kid) if isinstance(kid, str) else None
        if key is None:
            raise TokenBackendError("No key of the platform has the token's key id.")
        return key

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        claims = super().decode(token, verify)
        try:
            for name in _TIMES & claims.keys():
                datetime.fromtimestamp(claims[name], tz=UTC)
        except (TypeError, ValueError, OverflowError, OSError):
            raise TokenBackendError("A claim of the token is no time.") from None
        return claims


class VerifiedAccessToken(AccessToken):
    """simplejwt's AccessToken, verified with the key that its header names."""

    def get_token_backend(self) -> TokenBackend:
        return _backend()


@cache
def _backend() -> VerifyingBackend:
    return VerifyingBackend()


def claims_are_sound(claims: Any) -> bool:
    """Whether the claims of a verified token are such as the platform signs: of the right types, with a session."""
    try:
        UUID(claims["user_id"]), UUID(claims["sid"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
    roles = claims.get("roles", [])
    return isinstance(roles, list) and all(isinstance(role, str) for role in roles)
