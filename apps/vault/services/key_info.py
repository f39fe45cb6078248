"""What an exchange said of a key, and how it is written into a row."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.core.errors import NotFound, PlatformError
from apps.core.terms import Mode
from apps.events.store.publish import publish
from apps.exchange.errors import ExchangeRefused, KeyInvalid, KeyLacksPermission, KeyLocked, NonceRefused
from apps.exchange.factory import exchange_for
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.nonce import key_digest
from apps.exchange.port import Credential as AnyLogin
from apps.exchange.types import KeyInfo
from apps.messages.kraken import KrakenKeyTestFailed
from apps.vault.encryption import Login, login_seal
from apps.vault.errors import KeyAlreadyConnected, KeyChangedMeanwhile, KeyMayWithdraw, KeyRightsUnknown, LabelTaken
from apps.vault.models import Credential
from apps.vault.permissions import refuse_dangerous_rights
from apps.vault.selectors import key_is_connected

# A person waits for it.
INTERACTIVE = CallPolicy(connect_seconds=2.0, read_seconds=5.0, attempts=2)

# A test that ended so has failed, and is announced. No answer, or a limit of calls, is no test.
FAILURES = (ExchangeRefused, KeyMayWithdraw, KeyRightsUnknown)

# What lies in the key itself: it is not used any more until it passes a test.
KEY_FAULTS = (KeyInvalid, KeyLocked, KeyLacksPermission, NonceRefused, KeyMayWithdraw, KeyRightsUnknown)

_CONNECTED = "This key is connected already. A key serves one program."
_TAKEN: dict[str, PlatformError] = {
    "vault_credential_label": LabelTaken("You have a key of this name already."),
    "vault_credential_key_once": KeyAlreadyConnected(_CONNECTED),
}


def passport_ask(login: AnyLogin) -> KeyInfo:
    """Asks the exchange what the key is and may do. No transaction: it may take a while.

    Raises one of FAILURES where the key is not good, or what reads of an exchange raise.
    """
    info = exchange_for(login, policy=INTERACTIVE).key_info()
    refuse_dangerous_rights(info)
    return info


def passport_write(credential: Credential, info: KeyInfo, *, now: datetime) -> list[str]:
    """Puts what the exchange said into the row (unsaved); returns the names of the fields that changed."""
    said = {
        "permissions": sorted(info.permissions or ()),
        "ip_allowlist": sorted(info.ip_allowlist),
        "nonce_window": info.nonce_window,
        "expires_at": info.expires_at,
        "state": Credential.State.ACTIVE.value,
    }
    changed = [name for name, value in said.items() if getattr(credential, name) != value]
    for name, value in said.items():
        setattr(credential, name, value)
    credential.tested_at = now
    credential.last_error = ""
    return changed


def login_write(credential: Credential, login: Login) -> None:
    """Seals the key into the row (unsaved)."""
    sealed = login_seal(login, user_id=credential.user_id, credential_id=credential.id)
    credential.ciphertext = sealed.sealed.ciphertext
    credential.nonce = sealed.sealed.nonce
    credential.wrapped_key = sealed.sealed.wrapped_key
    credential.key_id = sealed.key_id
    credential.key_digest = key_digest(login.api_key)
    credential.key_hint = login.api_key[-4:]


def failure_announce(
    error: PlatformError, *, user_id: UUID, credential_id: UUID | None, mode: Mode, now: datetime
) -> None:
    """Says in the current transaction that a key failed its test."""
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


def credential_lock(*, credential_id: UUID, user_id: UUID, digest: str | None = None) -> Credential:
    """The row, locked. Raises NotFound; with a digest, KeyChangedMeanwhile where the row does not hold that key."""
    rows = Credential.objects.select_for_update().exclude(state=Credential.State.DISCONNECTED)
    row = rows.filter(id=credential_id, user_id=user_id, **({"key_digest": digest} if digest else {})).first()
    if row is None and digest:
        raise KeyChangedMeanwhile("The key was changed while it was being tested. Try again.")
    if row is None:
        raise NotFound("There is no such key.")
    return row


def refuse_connected_key(api_key: str) -> None:
    """Before the exchange is asked: failed tests would get a key locked that is in use. Raises KeyAlreadyConnected."""
    if key_is_connected(key_digest(api_key)):
        raise KeyAlreadyConnected(_CONNECTED)


@contextmanager
def unique_or_taken() -> Iterator[None]:
    """One transaction; raises LabelTaken or KeyAlreadyConnected where it meets their constraint."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        diagnosis = getattr(error.__cause__, "diag", None)
        taken = _TAKEN.get(getattr(diagnosis, "constraint_name", None) or "")
        if taken is None:
            raise
        raise type(taken)(taken.message) from None
