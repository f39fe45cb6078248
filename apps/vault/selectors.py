"""Reads of exchange keys. Only `credential_open` decrypts a secret; only code that signs requests calls it."""

from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from apps.core.crypto import EncryptedSecret
from apps.core.terms import Mode
from apps.exchange.errors import KeySuspended
from apps.exchange.nonce import SUSPENDED, refuse_suspended_key
from apps.vault.encryption import EncryptedLogin, login_decrypt
from apps.vault.errors import KeyNotConnected
from apps.vault.models import Credential

# The bot service's database role may read these columns only (apps.ops.database_roles).
_ENCRYPTED_COLUMNS = ("id", "user_id", "mode", "state", "ciphertext", "nonce", "wrapped_key", "key_id")


@dataclass(frozen=True, slots=True, repr=False)
class OpenCredential:
    """A decrypted key, for `apps.exchange.factory.exchange_for`. Do not keep it after the work is done."""

    id: UUID
    user_id: UUID
    mode: Mode
    api_key: str
    api_secret: str


def credential_get(*, credential_id: UUID, user_id: UUID) -> Credential:
    """Raises KeyNotConnected for another user's key and for a disconnected one."""
    credential = _connected().filter(id=credential_id, user_id=user_id).first()
    if credential is None:
        raise KeyNotConnected("There is no such key.")
    return credential


def credential_owner(*, credential_id: UUID) -> UUID | None:
    """The user of a key, also of a disconnected one. None where there is no such key."""
    return Credential.objects.filter(id=credential_id).values_list("user_id", flat=True).first()


def credential_list(*, user_id: UUID) -> QuerySet[Credential]:
    """The user's connected keys."""
    return _connected().filter(user_id=user_id)


def credential_open(*, credential_id: UUID, user_id: UUID, even_suspended: bool = False) -> OpenCredential:
    """Decrypts a key. Raises KeyNotConnected, KeySuspended, KeyLocked, CannotDecrypt."""
    row = _connected().filter(id=credential_id, user_id=user_id).only(*_ENCRYPTED_COLUMNS).first()
    if row is None:
        raise KeyNotConnected("There is no such key.")
    if row.state == Credential.State.SUSPENDED and not even_suspended:
        raise KeySuspended(SUSPENDED)
    assert row.ciphertext is not None
    assert row.nonce is not None
    assert row.wrapped_key is not None
    mode = row.exchange_mode
    encrypted = EncryptedSecret(
        nonce=bytes(row.nonce), ciphertext=bytes(row.ciphertext), wrapped_key=bytes(row.wrapped_key)
    )
    login = login_decrypt(EncryptedLogin(encrypted, row.key_id), user_id=row.user_id, credential_id=row.id, mode=mode)
    if not even_suspended:
        # What another process met with is there at once; the row's state follows by a message.
        refuse_suspended_key(login.api_key)
    return OpenCredential(row.id, row.user_id, mode, login.api_key, login.api_secret)


def credential_refuse_unusable(*, credential_id: UUID, user_id: UUID) -> None:
    """Raises KeyNotConnected, KeySuspended, as `credential_open` would by the key's row. Decrypts nothing.

    For a caller that may have no use for the key now: one that opens it learns of a suspension a moment earlier.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM vault_credential WHERE id = %s AND user_id = %s", [credential_id, user_id])
        row = cursor.fetchone()
    if row is None or row[0] == Credential.State.DISCONNECTED:
        raise KeyNotConnected("There is no such key.")
    if row[0] == Credential.State.SUSPENDED:
        raise KeySuspended(SUSPENDED)


def credential_hold(*, credential_id: UUID) -> None:
    """Keeps the key as it is until the end of the transaction: it is neither disconnected nor rotated meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM vault_credential WHERE id = %s FOR SHARE", [credential_id])


def key_is_connected(digest: str) -> bool:
    """Whether any user has connected the key with this digest."""
    return _connected().filter(key_digest=digest).exists()


def _connected() -> QuerySet[Credential]:
    return Credential.objects.exclude(state=Credential.State.DISCONNECTED)
