"""Renames and disconnects keys, and reads the balances of their accounts."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.events.store.publish import publish
from apps.exchange.errors import KeyInvalid, KeyLocked
from apps.exchange.factory import exchange_for
from apps.exchange.types import Balance
from apps.messages.kraken import KrakenKeyDisconnected, KrakenKeyUpdated
from apps.risk.models.halts import HaltLevel, HaltScope, HaltSource
from apps.risk.services.halts import halt_set
from apps.vault.errors import KeyInUse, KeyReportsPending
from apps.vault.key_users import KeyUse, key_users
from apps.vault.models import Credential
from apps.vault.selectors import credential_open
from apps.vault.services.key_info import INTERACTIVE, credential_lock, unique_or_taken
from apps.vault.services.verify import credential_suspend


def credential_rename(*, credential_id: UUID, user_id: UUID, label: str, now: datetime) -> Credential:
    """Raises NotFound, LabelTaken."""
    with unique_or_taken():
        credential = credential_lock(credential_id=credential_id, user_id=user_id)
        if credential.label != label:
            credential.label = label
            credential.save(update_fields=["label"])
            publish(KrakenKeyUpdated(credential_id=credential.id, user_id=user_id, changed=("label",)), now=now)
    return credential


@transaction.atomic
def credential_disconnect(
    *, credential_id: UUID, user_id: UUID, reason: str, now: datetime, abandon: bool = False
) -> None:
    """Disconnects a key permanently and deletes its encrypted secret. Its bots send no order from the commit on.

    Bots that hold coins bar it, unless their owner says `abandon`: without the key they cannot be sold, so the bots
    give them up to the account. So they do with what is below the smallest order. Bots at work and orders that have not
    ended bar it in any case. Raises NotFound, KeyInUse, KeyReportsPending.
    """
    users = key_users()
    users.lock(credential_id=credential_id)
    credential = credential_lock(credential_id=credential_id, user_id=user_id)
    _refuse_in_use(users.uses(credential_id=credential_id, now=now), abandon=abandon)
    if users.has_unread_reports(credential_id=credential_id, now=now):
        raise KeyReportsPending("The latest reports of the key's bots are still on their way. Try again in a moment.")
    halt_set(
        scope=HaltScope.KEY,
        subject_id=credential_id,
        user_id=user_id,
        level=HaltLevel.HALTED,
        code="key_disconnected",
        reason="The exchange key was disconnected.",
        source=HaltSource.SYSTEM,
        set_by="vault",
        now=now,
    )
    users.abandon(credential_id=credential_id, now=now)
    credential.state = Credential.State.DISCONNECTED
    credential.disconnected_at = now
    credential.ciphertext = credential.nonce = credential.wrapped_key = None
    credential.save(update_fields=["state", "disconnected_at", "ciphertext", "nonce", "wrapped_key"])
    publish(KrakenKeyDisconnected(credential_id=credential.id, user_id=user_id, reason=reason), now=now)


def _refuse_in_use(uses: Sequence[KeyUse], *, abandon: bool) -> None:
    bots = [use.as_details() for use in uses]
    names = ", ".join(use.name for use in uses[:5])
    if not all(use.only_holds for use in uses):
        raise KeyInUse(
            f"Bots trade with this key or have orders in its account ({names}). Stop them first, and wait until their "
            "orders have ended.",
            bots=bots,
        )
    if uses and not abandon:
        raise KeyInUse(
            f"Bots of this key hold coins ({names}). Flatten them first; or disconnect the key with ?abandon=true, and "
            "the coins stay in the account and belong to no bot.",
            bots=bots,
        )


def credential_balances(*, credential_id: UUID, user_id: UUID, now: datetime) -> list[Balance]:
    """The account's balances, sorted by asset code. No transaction: this calls an exchange.

    A key that the exchange refuses is suspended. Raises NotFound, KeySuspended and what reads of an exchange raise.
    """
    login = credential_open(credential_id=credential_id, user_id=user_id)
    try:
        balances = exchange_for(login, policy=INTERACTIVE).balances()
    except (KeyInvalid, KeyLocked) as error:
        credential_suspend(credential_id=credential_id, user_id=user_id, api_key=login.api_key, error=error, now=now)
        raise
    return sorted(balances.values(), key=lambda balance: balance.asset)
