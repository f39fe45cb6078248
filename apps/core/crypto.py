"""Envelope encryption (AES-256-GCM): each secret under a data key of its own, which the vault key wraps."""

import base64
import binascii
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apps.core.errors import PlatformError

KEY_BYTES = 32
NONCE_BYTES = 12


class CannotDecrypt(PlatformError):
    """The ciphertext was changed, belongs to another owner, or the key is another one."""

    code = "cannot_decrypt"
    http_status = 500


class InvalidVaultKey(PlatformError):
    code = "invalid_vault_key"
    http_status = 500


@dataclass(frozen=True, repr=False)
class Sealed:
    """What may be stored: nothing in it helps without the key that wrapped it."""

    nonce: bytes
    ciphertext: bytes
    wrapped_key: bytes


def vault_key(text: str) -> bytes:
    """32 bytes from their base64 form. Raises InvalidVaultKey."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidVaultKey("MUCKARD_VAULT_KEY must be 32 random bytes in base64: openssl rand -base64 32")
    return key


def seal(plaintext: bytes, *, key: bytes, owner: bytes) -> Sealed:
    """Encrypts for one owner: `owner` is bound in, so a row copied to another owner does not open."""
    data_key = secrets.token_bytes(KEY_BYTES)
    nonce, wrap_nonce = secrets.token_bytes(NONCE_BYTES), secrets.token_bytes(NONCE_BYTES)
    return Sealed(
        nonce=nonce,
        ciphertext=AESGCM(data_key).encrypt(nonce, plaintext, owner),
        wrapped_key=wrap_nonce + AESGCM(key).encrypt(wrap_nonce, data_key, owner),
    )


def unseal(sealed: Sealed, *, key: bytes, owner: bytes) -> bytes:
    """The plaintext. Raises CannotDecrypt."""
    wrapped = bytes(sealed.wrapped_key)
    try:
        data_key = AESGCM(key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], owner)
        return AESGCM(data_key).decrypt(bytes(sealed.nonce), bytes(sealed.ciphertext), owner)
    except InvalidTag:
        raise CannotDecrypt("The secret does not open with this key for this owner.") from None
