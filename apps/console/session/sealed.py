"""Values that a browser keeps for the console and cannot read or change: encrypted, for one purpose and some time."""

import base64
import binascii
import json
import secrets
import time
import zlib
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from apps.core.crypto import KEY_BYTES, NONCE_BYTES


def seal(value: Any, *, purpose: str) -> str:
    """JSON-able `value`, encrypted (AES-256-GCM). What is sealed for one purpose does not open for another one."""
    plain = zlib.compress(json.dumps([int(time.time()), value], separators=(",", ":")).encode(), 9)
    nonce = secrets.token_bytes(NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + AESGCM(_key()).encrypt(nonce, plain, purpose.encode())).decode().rstrip("=")


def unseal(text: str, *, purpose: str, max_age_seconds: float) -> Any:
    """The value; None for what is not ours, of another purpose, or older than `max_age_seconds`."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        plain = AESGCM(_key()).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], purpose.encode())
        sealed_at, value = json.loads(zlib.decompress(plain))
    except (binascii.Error, InvalidTag, ValueError, zlib.error):
        return None
    return value if time.time() - sealed_at <= max_age_seconds else None


@cache
def _key() -> bytes:
    secret = str(settings.SECRET_KEY).encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"muckard console session").derive(secret)
