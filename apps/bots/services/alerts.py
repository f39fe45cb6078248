"""Creates alerts from events."""

from uuid import UUID

from apps.bots.models import Alert
from apps.messages.bots import BotError
from apps.messages.kraken import KrakenKeyTestFailed


def key_test_failed(message: KrakenKeyTestFailed, *, event_id: UUID) -> None:
    Alert.objects.create(
        id=event_id,
        user_id=message.user_id,
        kind=message.declaration.name,
        severity=Alert.Severity.CRITICAL,
        code=message.code,
        message=message.message,
        credential_id=message.credential_id,
        occurred_at=message.failed_at,
    )


def bot_failed(message: BotError, *, event_id: UUID) -> None:
    Alert.objects.create(
        id=event_id,
        user_id=message.user_id,
        kind=message.declaration.name,
        severity=Alert.Severity.CRITICAL if message.is_final else Alert.Severity.WARNING,
        code=message.code,
        message=message.message,
        bot_id=message.bot_id,
        occurred_at=message.failed_at,
    )
