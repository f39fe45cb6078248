"""Tokens for calls between services of the platform: JWT, HS256, valid for 60 seconds, one audience."""

from datetime import UTC, datetime, timedelta

import jwt
from django.conf import settings

from apps.core.errors import NotAuthenticated

LIFETIME = timedelta(seconds=60)


def _key() -> str:
    key: str = settings.ENVIRONMENT.secret("service_token_key", needed_for="calls between services")
    return key


def mint(*, audience: str) -> str:
    """A token for one call to the service named `audience`."""
    now = datetime.now(UTC)
    claims = {"iss": settings.SERVICE, "aud": audience, "iat": now, "exp": now + LIFETIME, "role": "service"}
    return jwt.encode(claims, _key(), algorithm="HS256")


def verify(token: str, *, audience: str) -> str:
    """The name of the calling service. Raises NotAuthenticated."""
    try:
        claims = jwt.decode(
            token, _key(), algorithms=["HS256"], audience=audience, leeway=5, options={"require": ["exp", "iss", "aud"]}
        )
    except jwt.InvalidTokenError:
        raise NotAuthenticated("The service token is not valid or has expired.") from None
    return str(claims["iss"])
