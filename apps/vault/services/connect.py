"""Connects a key: fetch its info, check its permissions, encrypt, store and publish, in that order."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from apps.core.errors import Malformed, PlatformError
from apps.core.identity.assurance import NONE, Assurance
from apps.core.ids import new_id
from apps.core.terms import Mode
from apps.events.store.publish import publish
from apps.exchange.nonce import key_digest, nonce_forget
from apps.exchange.paper_account import paper_account_open
from apps.exchange.types import KeyInfo
from apps.messages.kraken import KrakenKeyConnected
from apps.risk.gates import refuse_unmet_gates
from apps.vault.encryption import Login
from apps.vault.errors import LabelTaken, TooManyKeys
from apps.vault.models import Credential
from apps.vault.selectors import credential_list, key_is_connected
from apps.vault.services.key_info import (
    FAILURES,
    failure_announce,
    key_info_fetch,
    key_info_write,
    login_write,
    refuse_connected_key,
    unique_or_taken,
)

MAX_KEYS = 20

# Opening balances of a paper account.
PAPER_DEPOSITS = {"ZUSD": Decimal(10_000)}


def credential_connect(
    *,
    user_id: UUID,
    label: str,
    mode: Mode,
    now: datetime,
    api_key: str | None = None,
    api_secret: str | None = None,
    assurance: Assurance = NONE,
) -> Credential:
    """Connects a live key, or opens a paper account and connects its key. No transaction: an exchange is asked.

    A key that is not good is refused and announced. Raises LiveGateUnmet, LabelTaken, TooManyKeys, KeyAlreadyConnected,
    KeyMayWithdraw, KeyPermissionsUnknown, AccountNotOpened, and what reads of an exchange raise.
    """
    refuse_unmet_gates(mode, act="Connecting a live key", assurance=assurance, now=now)
    _refuse_before_asking(user_id, label)
    credential_id = new_id()
    if mode == Mode.PAPER:
        login = _paper_login(user_id, credential_id, label)
    elif api_key and api_secret:
        refuse_connected_key(api_key)
        login = Login(mode, api_key, api_secret)
    else:
        raise Malformed("A live key has two halves: api_key and api_secret.")
    try:
        info = key_info_fetch(login)
    except PlatformError as error:
        _forget(login, error, user_id, now)
        raise
    return _store(login, info, credential_id=credential_id, user_id=user_id, label=label, now=now)


def _refuse_before_asking(user_id: UUID, label: str) -> None:
    keys = credential_list(user_id=user_id)
    if keys.filter(label__iexact=label).exists():
        raise LabelTaken("You have a key of this name already.")
    if keys.count() >= MAX_KEYS:
        raise TooManyKeys(f"At most {MAX_KEYS} keys can be connected. Disconnect one first.")


def _paper_login(user_id: UUID, credential_id: UUID, label: str) -> Login:
    # Each connection opens a new account: a label that was used before does not bring back the old balance.
    account = paper_account_open(
        owner_id=user_id, label=f"{label[:40].strip()} {credential_id}", deposits=PAPER_DEPOSITS
    )
    return Login(Mode.PAPER, account.api_key, account.api_secret)


def _forget(login: Login, error: PlatformError, user_id: UUID, now: datetime) -> None:
    """Discards a refused key. A failed test is published in a transaction that commits although the request fails."""
    if not key_is_connected(key_digest(login.api_key)):
        nonce_forget(login.api_key)
    if isinstance(error, FAILURES):
        with transaction.atomic():
            failure_announce(error, user_id=user_id, credential_id=None, mode=login.mode, now=now)


def _store(login: Login, info: KeyInfo, *, credential_id: UUID, user_id: UUID, label: str, now: datetime) -> Credential:
    credential = Credential(id=credential_id, user_id=user_id, label=label, mode=login.mode, created_at=now)
    login_write(credential, login)
    key_info_write(credential, info, now=now)
    with unique_or_taken():
        credential.save(force_insert=True)
        publish(
            KrakenKeyConnected(
                credential_id=credential.id,
                user_id=user_id,
                mode=login.mode,
                permissions=tuple(credential.permissions),
                expires_at=credential.expires_at,
            ),
            now=now,
        )
    return credential
