"""Kraken's request signature.

``API-Sign = base64(HMAC-SHA512(base64-decoded secret, path + SHA-256(nonce + body)))``, with the body exactly as it was
sent. Source: Kraken's "Spot REST authentication" guide.
"""

import base64
import hashlib
import hmac


def sign(*, secret: str, path: str, nonce: str, body: bytes) -> str:
    """`secret` in base64, `path` from ``/0/private``, `body` raw."""
    digest = hashlib.sha256(nonce.encode() + body).digest()
    return base64.b64encode(hmac.digest(base64.b64decode(secret), path.encode() + digest, "sha512")).decode()


def is_signed(signature: str, *, secret: str, path: str, nonce: str, body: bytes) -> bool:
    expected = sign(secret=secret, path=path, nonce=nonce, body=body)
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))


def key_digest(key: str) -> str:
    """SHA-256 of the key as it was sent, hexadecimal: stored where the text itself should not be kept."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
