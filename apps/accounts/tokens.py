"""Signs access and refresh tokens (ES256), and verifies refresh tokens.

Every service verifies access tokens with the public key (apps.core.identity.principal). Only the user service
accepts refresh tokens: it has the sessions.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

import jwt
from django.conf import settings
from django.utils.encoding import force_bytes
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from apps.accounts.errors import RefreshRefused
from apps.accounts.signing_keys import signing_pem
from apps.core.identity.access_tokens import VerifyingBackend
from apps.core.identity.jwk import jwk, key_id, public_key_of
from apps.core.identity.principal import EMAIL_VERIFIED_CLAIM, MFA_CLAIM, STEPPED_UP_CLAIM
from apps.core.identity.verification_keys import verifying_keys


@dataclass(frozen=True, repr=False)
class TokenPair:
    """Access and refresh token of a session. It has no repr, so that it is never logged."""

    access: str
    refresh: str
    session_id: UUID


@dataclass(frozen=True, repr=False)
class MintedAccess:
    """An access token without a refresh token, and when it expires (UTC)."""

    token: str
    expires_at: datetime


@dataclass(frozen=True)
class Holder:
    """Whom an access token names, and what it says of them."""

    user_id: UUID
    session_id: UUID
    roles: list[str]
    has_verified_email: bool
    has_mfa: bool


@dataclass(frozen=True)
class RefreshClaims:
    session_id: UUID
    token_id: str

    @property
    def token_digest(self) -> bytes:
        return digest_of(self.token_id)


class _SigningBackend(VerifyingBackend):
    """Adds the key id (`kid`) to the header, by which a verifier selects the key."""

    def __init__(self, signing_key: str) -> None:
        super().__init__(signing_key)
        self.key_id = key_id(public_key_of(signing_key))

    def encode(self, payload: dict[str, Any]) -> str:
        claims = {**payload, "aud": self.audience, "iss": self.issuer}
        return jwt.encode(claims, self.prepared_signing_key, self.algorithm, headers={"kid": self.key_id})


class SignedAccessToken(AccessToken):
    """simplejwt's AccessToken, with a key id."""

    def get_token_backend(self) -> TokenBackend:
        return _backend(signing_pem())


class SignedRefreshToken(RefreshToken):
    """simplejwt's RefreshToken, with a key id."""

    def get_token_backend(self) -> TokenBackend:
        return _backend(signing_pem())


def new_token_id() -> str:
    return uuid4().hex


def digest_of(secret: str) -> bytes:
    """SHA-256, the stored form of a random secret."""
    return hashlib.sha256(secret.encode()).digest()


def successor_id(*, session_id: UUID, token_id: str) -> str:
    """The id of the refresh token that follows a token of that id: always the same, and secret like a random one.

    So a repeated exchange can be answered alike, and nothing but digests is stored.
    """
    text = f"refresh token after {session_id} {token_id}"
    return hmac.new(force_bytes(settings.SECRET_KEY), text.encode(), hashlib.sha256).hexdigest()


def mint(*, holder: Holder, refresh_id: str, refresh_expires_at: datetime, now: datetime) -> TokenPair:
    """An access token with the current claims, and the session's refresh token."""
    refresh = SignedRefreshToken()
    refresh.set_iat(at_time=now)
    refresh.payload["exp"] = int(refresh_expires_at.timestamp())
    refresh.payload["jti"] = refresh_id
    refresh["user_id"] = str(holder.user_id)
    refresh["sid"] = str(holder.session_id)
    return TokenPair(
        access=mint_access(holder=holder, now=now).token, refresh=str(refresh), session_id=holder.session_id
    )


def mint_access(*, holder: Holder, now: datetime, stepped_up_at: datetime | None = None) -> MintedAccess:
    """An access token alone. `stepped_up_at`: when the holder proved the second factor again."""
    access = SignedAccessToken()
    access.set_iat(at_time=now)
    access.set_exp(from_time=now)
    access["user_id"] = str(holder.user_id)
    access["sid"] = str(holder.session_id)
    access["roles"] = sorted(holder.roles)
    access[EMAIL_VERIFIED_CLAIM] = holder.has_verified_email
    access[MFA_CLAIM] = holder.has_mfa
    if stepped_up_at is not None:
        access[STEPPED_UP_CLAIM] = int(stepped_up_at.timestamp())
    return MintedAccess(str(access), datetime.fromtimestamp(access["exp"], tz=UTC))


def read_refresh(token: str) -> RefreshClaims:
    """Verifies a refresh token and returns its claims. Raises RefreshRefused if forged, expired or of another type."""
    try:
        claims = SignedRefreshToken(token)  # type: ignore[arg-type]  # simplejwt's annotation; it decodes text
        return RefreshClaims(session_id=UUID(claims["sid"]), token_id=str(claims["jti"]))
    except (TokenError, KeyError, ValueError, AttributeError):
        raise RefreshRefused() from None


def public_jwks() -> dict[str, list[dict[str, str]]]:
    """The public keys as a JSON Web Key Set (RFC 7517): those of tokens that live, and the one that will sign next."""
    return {"keys": [jwk(key) for _, key in sorted(verifying_keys().items())]}


@lru_cache(maxsize=8)
def _backend(signing_key: str) -> _SigningBackend:
    return _SigningBackend(signing_key)
