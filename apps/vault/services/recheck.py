"""Checks connected keys again: before a start, and daily."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from apps.core.errors import NotFound, PlatformError
from apps.core.terms import Mode
from apps.events.store.publish import publish
from apps.exchange.errors import ExchangeRateLimited, ExchangeUnavailable, NotSent
from apps.exchange.types import KeyInfo
from apps.messages.kraken import KrakenKeyChecked, KrakenKeyUpdated
from apps.vault.errors import KeyExpired, KeyMayWithdraw, KeyPermissionsUnknown
from apps.vault.models import Credential
from apps.vault.selectors import credential_get, credential_open
from apps.vault.services.key_info import INTERACTIVE, check_announce, key_info_write, refuse_bad_key
from apps.vault.services.refused_keys import exchange_of_credential
from apps.vault.services.verify import credential_verify

log = structlog.get_logger(__name__)

# A start asks again where the last answer is older.
TRUSTED_AT_START = {Mode.LIVE: timedelta(minutes=1), Mode.PAPER: timedelta(days=1)}
CHECK_EVERY = timedelta(days=1)

_NO_ANSWER = (ExchangeUnavailable, ExchangeRateLimited, NotSent)
_PROVED_BAD = (KeyMayWithdraw, KeyPermissionsUnknown, KeyExpired)


def credential_check_before_start(*, credential_id: UUID, user_id: UUID, now: datetime) -> None:
    """Asks the exchange again what the key is and may do, where that is not known well enough for a start.

    No transaction: this calls an exchange. Raises as `credential_verify` does; without an answer of the exchange only
    for a live key. A key that is not there or is suspended is left to the start's own checks.
    """
    try:
        row = credential_get(credential_id=credential_id, user_id=user_id)
    except NotFound:
        return
    if row.state != Credential.State.ACTIVE or now - row.tested_at < TRUSTED_AT_START[row.exchange_mode]:
        return
    try:
        credential_verify(credential_id=credential_id, user_id=user_id, now=now)
    except _NO_ANSWER:
        if row.exchange_mode is not Mode.PAPER:
            raise


def credential_due(*, now: datetime, skip: Collection[UUID]) -> tuple[UUID, UUID] | None:
    """The active key whose last check is oldest and a day ago, as its id and its user's. `skip` are left out."""
    due = Credential.objects.filter(state=Credential.State.ACTIVE, tested_at__lt=now - CHECK_EVERY)
    return due.exclude(id__in=list(skip)).order_by("tested_at").values_list("id", "user_id").first()


def credential_check(*, credential_id: UUID, user_id: UUID, now: datetime) -> None:
    """The daily check of one key. It publishes what the exchange says; a key that is proved to be bad is suspended.

    No transaction: this calls an exchange. Raises what opening the key and reads of an exchange raise.
    """
    credential = credential_open(credential_id=credential_id, user_id=user_id)
    exchange = exchange_of_credential(credential, policy=INTERACTIVE)
    info = exchange.key_info()
    try:
        refuse_bad_key(info, now=now)
    except _PROVED_BAD as error:
        exchange.suspend_key(error)
        return
    with transaction.atomic():
        check_announce(info, user_id=user_id, credential_id=credential_id, now=now)


def credential_note_check(message: KrakenKeyChecked, *, now: datetime) -> None:
    """Writes a daily check into the key's row, in the caller's transaction.

    Does nothing where the key was tested or replaced since, or is not active.
    """
    rows = Credential.objects.select_for_update().filter(id=message.credential_id, state=Credential.State.ACTIVE)
    row = rows.filter(tested_at__lt=message.checked_at).first()
    if row is None:
        return
    info = KeyInfo(
        permissions=frozenset(message.permissions),
        ip_allowlist=message.ip_allowlist,
        nonce_window=message.nonce_window,
        expires_at=message.expires_at,
    )
    changed = key_info_write(row, info, now=message.checked_at)
    row.save()
    if changed:
        publish(KrakenKeyUpdated(credential_id=row.id, user_id=row.user_id, changed=tuple(changed)), now=now)


class KeyChecker:
    """The loop of the daily checks: one key a step, so that the exchange sees them spread out."""

    STEP_SECONDS = 5.0
    IDLE_SECONDS = 60.0
    # A key that could not be checked waits this long, as does one whose answer is still on its way to its row.
    AGAIN_AFTER = timedelta(hours=1)

    def __init__(self, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self._clock = clock
        self._tried: dict[UUID, datetime] = {}

    def step(self) -> float:
        """Checks the key that is due longest. Returns the seconds until the next step. Raises DatabaseError."""
        now = self._clock()
        self._tried = {key: at for key, at in self._tried.items() if now - at < self.AGAIN_AFTER}
        due = credential_due(now=now, skip=self._tried)
        if due is None:
            return self.IDLE_SECONDS
        credential_id, user_id = due
        self._tried[credential_id] = now
        try:
            credential_check(credential_id=credential_id, user_id=user_id, now=now)
        except PlatformError as error:
            log.info("key_not_checked", credential_id=str(credential_id), code=error.code)
        return self.STEP_SECONDS

    def close(self) -> None:
        """Holds nothing between two steps."""
