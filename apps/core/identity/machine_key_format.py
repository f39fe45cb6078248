"""The form of machine keys: `mk_`, 256 random bits in base 62, and a checksum.

The prefix and the checksum let scanners find a key that was published by mistake, and let a service refuse a mistyped
or made-up one without asking the database.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib

PREFIX = "mk_"
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_LENGTH = 43  # digits that hold 256 bits in base 62
_CHECKSUM_LENGTH = 6
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}}")


def new_machine_key() -> str:
    body = PREFIX + _base62(int.from_bytes(secrets.token_bytes(32)), _SECRET_LENGTH)
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether form and checksum are those of a machine key."""
    if not _FORM.fullmatch(key):
        return False
    body, checksum = key[:-_CHECKSUM_LENGTH], key[-_CHECKSUM_LENGTH:]
    return hmac.compare_digest(_checksum(body), checksum)


def digest_of_machine_key(key: str) -> bytes:
    """The stored form. A random key of 256 bits needs neither salt nor a slow hash."""
    return hashlib.sha256(key.encode()).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
