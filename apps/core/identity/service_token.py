"""Tokens for calls between services of the platform: JWT, ES256, valid for 60 seconds, for one audience.

Each service signs with a private key of its own. The others have its public key only: none can pass for another.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
from django.conf import settings

from apps.core.errors import NotAuthenticated
from apps.core.identity.jwk import ALGORITHM
from apps.core.identity.principal import Role

LIFETIME = timedelta(seconds=60)
_LEEWAY_SECONDS = 5
_CLAIMS = ("iss", "aud", "iat", "exp", "jti", "role")
_PEM_END = "-----END PUBLIC KEY-----"


def mint(*, audience: str) -> str:
    """A token for one call to the service named `audience`."""
    now = datetime.now(UTC)
    claims = {
        "iss": settings.SERVICE,
        "aud": audience,
        "iat": now,
        "exp": now + LIFETIME,
        "jti": uuid4().hex,
        "role": str(Role.SERVICE),
    }
    key: str = settings.ENVIRONMENT.secret("service_private_key", needed_for="calls to other services")
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def verify(token: str, *, audience: str) -> str:
    """The name of the calling service. Raises NotAuthenticated."""
    for key in _public_keys(_issuer(token)):
        claims = _claims(token, key, audience)
        if claims is not None:
            return str(claims["iss"])
    raise NotAuthenticated("The service token is not valid or has expired.")


def _issuer(token: str) -> str:
    try:
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.InvalidTokenError, ValueError):
        return ""
    return issuer if isinstance(issuer, str) else ""


def _public_keys(service: str) -> list[str]:
    """The keys of a service: while one replaces another, its file holds both, one after the other."""
    if not service.isalpha():
        return []
    secret: Any = getattr(settings.ENVIRONMENT, f"service_public_key_{service}", None)
    text = secret.get_secret_value() if secret else ""
    return [part.strip() + "\n" + _PEM_END for part in text.split(_PEM_END) if part.strip()]


def _claims(token: str, key: str, audience: str) -> dict[str, Any] | None:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=audience,
            leeway=_LEEWAY_SECONDS,
            options={"require": list(_CLAIMS), "strict_aud": True},
        )
        lives_seconds = claims["exp"] - claims["iat"]
    except (jwt.InvalidTokenError, TypeError, ValueError):
        return None
    is_good = claims["role"] == Role.SERVICE and 0 < lives_seconds <= LIFETIME.total_seconds()
    return claims if is_good else None
