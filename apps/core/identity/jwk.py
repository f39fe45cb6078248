"""Public keys of tokens (ES256) as JSON Web Keys (RFC 7517), and their ids."""

import base64
import hashlib
import json
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

ALGORITHM = "ES256"
_COORDINATE_BYTES = 32


@lru_cache(maxsize=64)
def public_key(pem: str) -> EllipticCurvePublicKey:
    """The key on P-256 of a PEM text. Raises ValueError for anything else."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, EllipticCurvePublicKey):
        raise ValueError("This is not an EC key.")
    return key


def public_key_of(private_pem: str) -> EllipticCurvePublicKey:
    key = load_pem_private_key(private_pem.encode(), password=None).public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    return key


def pem_of(key: EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_id(key: EllipticCurvePublicKey) -> str:
    """The key's JWK thumbprint (RFC 7638)."""
    canonical = json.dumps(_members(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def jwk(key: EllipticCurvePublicKey) -> dict[str, str]:
    return {**_members(key), "use": "sig", "alg": ALGORITHM, "kid": key_id(key)}


def _members(key: EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    x, y = (_base64url(number.to_bytes(_COORDINATE_BYTES)) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
