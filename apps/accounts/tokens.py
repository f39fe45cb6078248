"""Signs access and refresh tokens (ES256), and verifies refresh tokens.

Every service verifies access tokens with the public key (apps.core.principal). Only the user service accepts refresh
tokens: it has the sessions.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from apps.accounts.errors import RefreshRefused
from apps.core.principal import EMAIL_VERIFIED_CLAIM, MFA_CLAIM, STEPPED_UP_CLAIM

_COORDINATE_BYTES = 32


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
    token_digest: bytes


class _SigningBackend(TokenBackend):
    """Adds the key id (`kid`) to the header, by which a verifier with several keys selects one."""

    def __init__(self, signing_key: str, verifying_key: str) -> None:
        options = settings.SIMPLE_JWT
        super().__init__(
            options["ALGORITHM"],
            signing_key,
            verifying_key,
            options["AUDIENCE"],
            options["ISSUER"],
            leeway=options["LEEWAY"],
        )
        self.key_id = key_id(public_key_of(signing_key))

    def encode(self, payload: dict[str, Any]) -> str:
        claims = {**payload, "aud": self.audience, "iss": self.issuer}
        return jwt.encode(claims, self.prepared_signing_key, self.algorithm, headers={"kid": self.key_id})


class SignedAccessToken(AccessToken):
    """simplejwt's AccessToken, with a key id."""

    def get_token_backend(self) -> TokenBackend:
        return _backend(settings.SIMPLE_JWT["SIGNING_KEY"], settings.SIMPLE_JWT["VERIFYING_KEY"])


class SignedRefreshToken(RefreshToken):
    """simplejwt's RefreshToken, with a key id."""

    def get_token_backend(self) -> TokenBackend:
        return _backend(settings.SIMPLE_JWT["SIGNING_KEY"], settings.SIMPLE_JWT["VERIFYING_KEY"])


def new_token_id() -> str:
    return uuid4().hex


def digest_of(secret: str) -> bytes:
    """SHA-256, the stored form of a random secret."""
    return hashlib.sha256(secret.encode()).digest()


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
        return RefreshClaims(session_id=UUID(claims["sid"]), token_digest=digest_of(claims["jti"]))
    except (TokenError, KeyError, ValueError, AttributeError):
        raise RefreshRefused() from None


def public_jwks() -> dict[str, list[dict[str, str]]]:
    """The public key as a JSON Web Key Set (RFC 7517)."""
    key = _public_key(settings.SIMPLE_JWT["VERIFYING_KEY"])
    return {"keys": [{**_members(key), "use": "sig", "alg": settings.SIMPLE_JWT["ALGORITHM"], "kid": key_id(key)}]}


def key_id(key: EllipticCurvePublicKey) -> str:
    """The key's JWK thumbprint (RFC 7638)."""
    canonical = json.dumps(_members(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def public_key_of(private_pem: str) -> EllipticCurvePublicKey:
    key = load_pem_private_key(private_pem.encode(), password=None).public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    return key


@cache
def _backend(signing_key: str, verifying_key: str) -> _SigningBackend:
    return _SigningBackend(signing_key, verifying_key)


@cache
def _public_key(pem: str) -> EllipticCurvePublicKey:
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, EllipticCurvePublicKey)
    return key


def _members(key: EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    x, y = (_base64url(number.to_bytes(_COORDINATE_BYTES)) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
