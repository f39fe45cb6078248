"""Envelope encryption (AES-256-GCM): a random data key encrypts each secret; the vault key wraps the data key."""

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
    """The ciphertext was changed, belongs to another owner, or was encrypted with another key."""

    code = "cannot_decrypt"
    http_status = 500


class InvalidVaultKey(PlatformError):
    code = "invalid_vault_key"
    http_status = 500


@dataclass(frozen=True, repr=False)
class EncryptedSecret:
    """The stored form of a secret. It cannot be decrypted without the key that wrapped its data key."""

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


def encrypt(plaintext: bytes, *, key: bytes, owner: bytes) -> EncryptedSecret:
    """Encrypts for one owner. `owner` is authenticated data: a row copied to another owner cannot be decrypted."""
    data_key = secrets.token_bytes(KEY_BYTES)
    nonce, wrap_nonce = secrets.token_bytes(NONCE_BYTES), secrets.token_bytes(NONCE_BYTES)
    return EncryptedSecret(
        nonce=nonce,
        ciphertext=AESGCM(data_key).encrypt(nonce, plaintext, owner),
        wrapped_key=wrap_nonce + AESGCM(key).encrypt(wrap_nonce, data_key, owner),
    )


def decrypt(encrypted: EncryptedSecret, *, key: bytes, owner: bytes) -> bytes:
    """The plaintext. Raises CannotDecrypt."""
    wrapped = bytes(encrypted.wrapped_key)
    try:
        data_key = AESGCM(key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], owner)
        return AESGCM(data_key).decrypt(bytes(encrypted.nonce), bytes(encrypted.ciphertext), owner)
    except InvalidTag:
        raise CannotDecrypt("The secret does not open with this key for this owner.") from None
