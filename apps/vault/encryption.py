"""Encryption of exchange keys.

User, credential and mode are authenticated data: a row copied elsewhere cannot be decrypted.
"""

import hashlib
import json
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from apps.core import crypto
from apps.core.crypto import CannotDecrypt, EncryptedSecret
from apps.core.terms import Mode


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """Both halves of a key in plaintext. Used for signing only; never stored, logged or sent."""

    mode: Mode
    api_key: str
    api_secret: str


@dataclass(frozen=True, slots=True, repr=False)
class EncryptedLogin:
    encrypted: EncryptedSecret
    key_id: str


def login_encrypt(login: Login, *, user_id: UUID, credential_id: UUID) -> EncryptedLogin:
    key = _vault_key()
    plaintext = json.dumps({"api_key": login.api_key, "api_secret": login.api_secret}).encode()
    return EncryptedLogin(
        crypto.encrypt(plaintext, key=key, owner=_owner(user_id, credential_id, login.mode)), _id_of(key)
    )


def login_decrypt(stored: EncryptedLogin, *, user_id: UUID, credential_id: UUID, mode: Mode) -> Login:
    """Raises CannotDecrypt."""
    key = _vault_key()
    if stored.key_id != _id_of(key):
        raise CannotDecrypt(f"The secret is encrypted with the vault key {stored.key_id}, which is not the one in use.")
    halves = json.loads(crypto.decrypt(stored.encrypted, key=key, owner=_owner(user_id, credential_id, mode)))
    return Login(mode, halves["api_key"], halves["api_secret"])


def _owner(user_id: UUID, credential_id: UUID, mode: Mode) -> bytes:
    return f"credential:{user_id}:{credential_id}:{mode}".encode()


def _vault_key() -> bytes:
    return crypto.vault_key(settings.ENVIRONMENT.secret("vault_key", needed_for="encrypting exchange keys"))


def _id_of(key: bytes) -> str:
    """Identifies a vault key by a truncated hash, which reveals nothing of the key."""
    return hashlib.sha256(b"muckard vault key\0" + key).hexdigest()[:16]
