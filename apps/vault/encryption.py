"""Secrets of keys, sealed for one user, credential and mode: a row copied elsewhere does not open."""

import hashlib
import json
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from apps.core import crypto
from apps.core.crypto import CannotDecrypt, Sealed
from apps.core.terms import Mode


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """Both halves of a key, in the clear: only where something is signed, never stored, logged or sent."""

    mode: Mode
    api_key: str
    api_secret: str


@dataclass(frozen=True, slots=True, repr=False)
class SealedLogin:
    sealed: Sealed
    key_id: str


def login_seal(login: Login, *, user_id: UUID, credential_id: UUID) -> SealedLogin:
    key = _vault_key()
    plaintext = json.dumps({"api_key": login.api_key, "api_secret": login.api_secret}).encode()
    return SealedLogin(crypto.seal(plaintext, key=key, owner=_owner(user_id, credential_id, login.mode)), _id_of(key))


def login_unseal(sealed: SealedLogin, *, user_id: UUID, credential_id: UUID, mode: Mode) -> Login:
    """Raises CannotDecrypt."""
    key = _vault_key()
    if sealed.key_id != _id_of(key):
        raise CannotDecrypt(f"The secret is sealed with the vault key {sealed.key_id}, which is not the one in use.")
    halves = json.loads(crypto.unseal(sealed.sealed, key=key, owner=_owner(user_id, credential_id, mode)))
    return Login(mode, halves["api_key"], halves["api_secret"])


def _owner(user_id: UUID, credential_id: UUID, mode: Mode) -> bytes:
    return f"credential:{user_id}:{credential_id}:{mode}".encode()


def _vault_key() -> bytes:
    return crypto.vault_key(settings.ENVIRONMENT.secret("vault_key", needed_for="sealing exchange keys"))


def _id_of(key: bytes) -> str:
    """Names a vault key without telling anything of it."""
    return hashlib.sha256(b"muckard vault key\0" + key).hexdigest()[:16]
