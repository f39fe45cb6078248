"""Creates alerts from events."""

from datetime import datetime
from typing import Any
from uuid import UUID

from apps.bots.models import Alert
from apps.core.money import plain
from apps.events.store.wake_up import STREAM, wake_after_commit
from apps.messages.accounts import AccountDrift, AccountDriftResolved
from apps.messages.bots import BotError
from apps.messages.kraken import KrakenKeyTestFailed

Severity = Alert.Severity


def key_test_failed(message: KrakenKeyTestFailed, *, event_id: UUID) -> None:
    _create(
        message,
        event_id,
        severity=Severity.CRITICAL,
        code=message.code,
        text=message.message,
        credential_id=message.credential_id,
        occurred_at=message.failed_at,
    )


def bot_failed(message: BotError, *, event_id: UUID) -> None:
    _create(
        message,
        event_id,
        severity=Severity.CRITICAL if message.is_final else Severity.WARNING,
        code=message.code,
        text=message.message,
        bot_id=message.bot_id,
        occurred_at=message.failed_at,
    )


def account_drifted(message: AccountDrift, *, event_id: UUID) -> None:
    what = "its bots hold" if message.code == "uncovered" else "by what is booked there must be"
    _create(
        message,
        event_id,
        severity=Severity.CRITICAL,
        code=message.code,
        text=f"The account shows {plain(message.found)} {message.asset}, and {what} {plain(message.expected)}. "
        "Its bots buy nothing until that is settled.",
        credential_id=message.credential_id,
        occurred_at=message.found_at,
    )


def account_drift_resolved(message: AccountDriftResolved, *, event_id: UUID) -> None:
    _create(
        message,
        event_id,
        severity=Severity.WARNING,
        code="resolved",
        text=f"The account's {message.asset} is again what is booked: {plain(message.balance)}.",
        credential_id=message.credential_id,
        occurred_at=message.resolved_at,
    )


def _create(
    message: KrakenKeyTestFailed | BotError | AccountDrift | AccountDriftResolved,
    event_id: UUID,
    *,
    severity: Alert.Severity,
    code: str,
    text: str,
    occurred_at: datetime,
    **about: Any,
) -> None:
    Alert.objects.create(
        id=event_id,
        user_id=message.user_id,
        kind=message.declaration.name,
        severity=severity,
        code=code,
        message=text,
        occurred_at=occurred_at,
        **about,
    )
    wake_after_commit(STREAM)
