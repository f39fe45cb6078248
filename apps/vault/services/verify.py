"""Verifies a connected key again, and rotates it."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.core.errors import PlatformError
from apps.core.identity.assurance import NONE, Assurance
from apps.core.terms import Mode
from apps.events.store.publish import publish
from apps.exchange.nonce import key_digest, key_suspend, nonce_forget
from apps.messages.kraken import KrakenKeyUpdated
from apps.risk.gates import refuse_unmet_gates
from apps.vault.encryption import Login
from apps.vault.errors import AccountNotProved, KeyReportsPending, PaperKeyNotRotatable
from apps.vault.key_users import key_users
from apps.vault.models import Credential
from apps.vault.selectors import credential_get, credential_open
from apps.vault.services.key_info import (
    FAILURES,
    KEY_FAULTS,
    check_announce,
    credential_lock,
    failure_announce,
    key_info_fetch,
    key_info_write,
    login_write,
    refuse_connected_key,
    unique_or_taken,
)
from apps.vault.services.same_account import same_account

MAX_ERROR_LENGTH = 300


def credential_verify(*, credential_id: UUID, user_id: UUID, now: datetime) -> Credential:
    """Verifies the key with the exchange: updates its key info, or suspends it with the reason.

    No transaction: this calls an exchange. Raises NotFound, KeyChangedMeanwhile, KeyMayWithdraw,
    KeyPermissionsUnknown and what reads of an exchange raise. Without a response from the exchange, nothing changes.
    """
    login = credential_open(credential_id=credential_id, user_id=user_id, even_suspended=True)
    try:
        info = key_info_fetch(login)
    except KEY_FAULTS as error:
        credential_suspend(credential_id=credential_id, user_id=user_id, api_key=login.api_key, error=error, now=now)
        raise
    except FAILURES as error:
        with transaction.atomic():
            failure_announce(error, user_id=user_id, credential_id=credential_id, mode=login.mode, now=now)
        raise
    with transaction.atomic():
        credential = credential_lock(credential_id=credential_id, user_id=user_id, digest=key_digest(login.api_key))
        changed = key_info_write(credential, info, now=now)
        credential.save()
        check_announce(info, user_id=user_id, credential_id=credential_id, now=now)
        if changed:
            _announce_update(credential, changed, now)
    return credential


def credential_rotate(
    *,
    credential_id: UUID,
    user_id: UUID,
    api_key: str,
    api_secret: str,
    now: datetime,
    assurance: Assurance = NONE,
) -> Credential:
    """Replaces a live key by a new, verified key of the same account. Bots use the new key from then on.

    No transaction: this calls an exchange. A new key that fails is refused, the failure is published, and the old key
    stays. So it does where the new key opens another account, and where it is not proved to open the same one while
    bots of the key run, hold coins or have orders that have not ended. Raises as `credential_verify` does, and
    LiveGateUnmet, PaperKeyNotRotatable, KeyAlreadyConnected, AccountNotProved, KeyReportsPending.
    """
    before = credential_get(credential_id=credential_id, user_id=user_id)
    if before.mode == Mode.PAPER:
        raise PaperKeyNotRotatable("The paper exchange makes its keys itself; there is nothing to rotate.")
    refuse_unmet_gates(before.mode, act="Replacing a live key", assurance=assurance, now=now)
    refuse_connected_key(api_key)
    login = Login(Mode.LIVE, api_key, api_secret)
    try:
        info = key_info_fetch(login)
        is_same = _is_same_account(before, login)
        if is_same is False:
            raise AccountNotProved(
                "The new key knows none of the orders and trades that were made with the old one: it opens another "
                "exchange account. Connect it as a key of its own."
            )
    except PlatformError as error:
        nonce_forget(api_key)
        if isinstance(error, FAILURES):
            with transaction.atomic():
                failure_announce(error, user_id=user_id, credential_id=credential_id, mode=Mode.LIVE, now=now)
        raise
    with unique_or_taken():
        key_users().lock(credential_id=credential_id)
        credential = credential_lock(credential_id=credential_id, user_id=user_id, digest=before.key_digest)
        if is_same is None:
            _refuse_unproved(credential_id, now=now)
        login_write(credential, login)
        changed = key_info_write(credential, info, now=now)
        credential.save()
        _announce_update(credential, ["key", *changed], now)
    return credential


def _is_same_account(before: Credential, login: Login) -> bool | None:
    is_usable = before.state == Credential.State.ACTIVE
    old = credential_open(credential_id=before.id, user_id=before.user_id) if is_usable else None
    return same_account(new=login, old=old, known=key_users().known_ids(credential_id=before.id))


def _refuse_unproved(credential_id: UUID, *, now: datetime) -> None:
    """Raises AccountNotProved, KeyReportsPending. The bots and the key are locked."""
    uses = key_users().uses(credential_id=credential_id, now=now)
    if uses:
        raise AccountNotProved(
            "It is not proved that the new key opens the same exchange account: no order, trade or ledger entry of the "
            "old key's account is known. Stop or flatten the bots of this key first.",
            bots=[use.as_details() for use in uses],
        )
    if key_users().has_unread_reports(credential_id=credential_id, now=now):
        raise KeyReportsPending("The latest reports of the key's bots are still on their way. Try again in a moment.")


@transaction.atomic
def credential_suspend(
    *, credential_id: UUID, user_id: UUID, api_key: str, error: PlatformError, now: datetime
) -> None:
    """Suspends a key that the exchange refused, and publishes that. Raises KeyChangedMeanwhile for another key."""
    credential = credential_lock(credential_id=credential_id, user_id=user_id, digest=key_digest(api_key))
    key_suspend(api_key, code=error.code, now=now)
    credential_set_suspended(credential, message=error.message, now=now)
    failure_announce(error, user_id=user_id, credential_id=credential.id, mode=credential.exchange_mode, now=now)


def credential_set_suspended(credential: Credential, *, message: str, now: datetime) -> None:
    """Marks a locked row as suspended since a test at `now`, and publishes that where it was active."""
    was_active = credential.state == Credential.State.ACTIVE
    credential.state = Credential.State.SUSPENDED
    credential.tested_at = now
    credential.last_error = message[:MAX_ERROR_LENGTH]
    credential.save(update_fields=["state", "tested_at", "last_error"])
    if was_active:
        _announce_update(credential, ["state"], now)


def _announce_update(credential: Credential, changed: list[str], now: datetime) -> None:
    publish(KrakenKeyUpdated(credential_id=credential.id, user_id=credential.user_id, changed=tuple(changed)), now=now)
