"""Key info: fetching it from the exchange, and writing it into the credential's row."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core.errors import NotFound, PlatformError
from apps.core.terms import Mode
from apps.events.store.publish import publish
from apps.exchange.errors import ExchangeRefused, KeyInvalid, KeyLacksPermission, KeyLocked, NonceRefused
from apps.exchange.factory import exchange_for
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.nonce import key_digest, key_restore
from apps.exchange.port import Credential as AnyLogin
from apps.exchange.types import KeyInfo
from apps.messages.kraken import KrakenKeyChecked, KrakenKeyTestFailed
from apps.vault.encryption import Login, login_encrypt
from apps.vault.errors import (
    KeyAlreadyConnected,
    KeyChangedMeanwhile,
    KeyExpired,
    KeyMayWithdraw,
    KeyPermissionsUnknown,
    LabelTaken,
)
from apps.vault.models import Credential
from apps.vault.permissions import refuse_dangerous_permissions, refuse_expired
from apps.vault.selectors import key_is_connected

# A user waits for the response.
INTERACTIVE = CallPolicy(connect_seconds=2.0, read_seconds=5.0, attempts=2)

# A verification that ends with one of these has failed, and that is published. A timeout or rate limit proves nothing.
FAILURES = (ExchangeRefused, KeyMayWithdraw, KeyPermissionsUnknown, KeyExpired)

# The fault is in the key itself: the key is suspended until it passes a verification.
KEY_FAULTS = (
    KeyInvalid,
    KeyLocked,
    KeyLacksPermission,
    NonceRefused,
    KeyMayWithdraw,
    KeyPermissionsUnknown,
    KeyExpired,
)

_CONNECTED = "This key is connected already. A key serves one program."
_TAKEN: dict[str, PlatformError] = {
    "vault_credential_label": LabelTaken("You have a key of this name already."),
    "vault_credential_key_once": KeyAlreadyConnected(_CONNECTED),
}


def key_info_fetch(login: AnyLogin) -> KeyInfo:
    """Tests the key: fetches its info from the exchange and checks its permissions. One that passes may be used again.

    No transaction: the call may take seconds.

    Raises one of FAILURES for a key that is refused, and what reads of an exchange raise.
    """
    info = exchange_for(login, policy=INTERACTIVE, is_test=True).key_info()
    refuse_bad_key(info, now=timezone.now())
    key_restore(login.api_key)
    return info


def refuse_bad_key(info: KeyInfo, *, now: datetime) -> None:
    """What the key's own info forbids. Raises KeyMayWithdraw, KeyPermissionsUnknown, KeyExpired."""
    refuse_dangerous_permissions(info)
    refuse_expired(info, now=now)


def key_info_write(credential: Credential, info: KeyInfo, *, now: datetime) -> list[str]:
    """Writes the key info into the row (unsaved). Returns the names of the fields that changed."""
    values = {
        "permissions": sorted(info.permissions or ()),
        "ip_allowlist": sorted(info.ip_allowlist),
        "nonce_window": info.nonce_window,
        "expires_at": info.expires_at,
        "state": Credential.State.ACTIVE.value,
    }
    changed = [name for name, value in values.items() if getattr(credential, name) != value]
    for name, value in values.items():
        setattr(credential, name, value)
    credential.tested_at = now
    credential.last_error = ""
    return changed


def login_write(credential: Credential, login: Login) -> None:
    """Encrypts the key into the row (unsaved)."""
    stored = login_encrypt(login, user_id=credential.user_id, credential_id=credential.id)
    credential.ciphertext = stored.encrypted.ciphertext
    credential.nonce = stored.encrypted.nonce
    credential.wrapped_key = stored.encrypted.wrapped_key
    credential.key_id = stored.key_id
    credential.key_digest = key_digest(login.api_key)
    credential.key_hint = login.api_key[-4:]


def failure_announce(
    error: PlatformError, *, user_id: UUID, credential_id: UUID | None, mode: Mode, now: datetime
) -> None:
    """Publishes in the current transaction that a key failed its verification."""
    publish(
        KrakenKeyTestFailed(
            user_id=user_id,
            credential_id=credential_id,
            mode=mode,
            code=error.code,
            message=error.message,
            failed_at=now,
        ),
        now=now,
    )


def check_announce(info: KeyInfo, *, user_id: UUID, credential_id: UUID, now: datetime) -> None:
    """Publishes in the current transaction what the exchange said of a key that passed its check."""
    publish(
        KrakenKeyChecked(
            credential_id=credential_id,
            user_id=user_id,
            permissions=tuple(sorted(info.permissions or ())),
            ip_allowlist=tuple(sorted(info.ip_allowlist)),
            nonce_window=info.nonce_window,
            expires_at=info.expires_at,
            checked_at=now,
        ),
        now=now,
    )


def credential_lock(*, credential_id: UUID, user_id: UUID, digest: str | None = None) -> Credential:
    """Locks the row. Raises NotFound; with a digest, KeyChangedMeanwhile if the row holds another key."""
    rows = Credential.objects.select_for_update().exclude(state=Credential.State.DISCONNECTED)
    row = rows.filter(id=credential_id, user_id=user_id, **({"key_digest": digest} if digest else {})).first()
    if row is None and digest:
        raise KeyChangedMeanwhile("The key was changed while it was being tested. Try again.")
    if row is None:
        raise NotFound("There is no such key.")
    return row


def refuse_connected_key(api_key: str) -> None:
    """Call before the exchange: failed requests could get a key in use locked. Raises KeyAlreadyConnected."""
    if key_is_connected(key_digest(api_key)):
        raise KeyAlreadyConnected(_CONNECTED)


@contextmanager
def unique_or_taken() -> Iterator[None]:
    """Runs the block in a transaction. A violated unique constraint becomes LabelTaken or KeyAlreadyConnected."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        diagnosis = getattr(error.__cause__, "diag", None)
        taken = _TAKEN.get(getattr(diagnosis, "constraint_name", None) or "")
        if taken is None:
            raise
        raise type(taken)(taken.message) from None
