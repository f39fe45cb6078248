"""Poison: events that can never be sent. Every other failure is an outage of Kafka and is retried."""

from collections.abc import Iterable
from uuid import UUID

from kafka.errors import (
    CorruptRecordError,
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from apps.events.brokers.kafka.producer import EventProducer
from apps.events.outbox.parking import Poison
from apps.events.outbox.relay.query import Record

KNOWS_TOPIC_SECONDS = 2.0

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (MessageSizeTooLargeError, "too_large"),
    (RecordListTooLargeError, "too_large"),
    (InvalidRecordError, "refused"),
    (CorruptRecordError, "refused"),
    (InvalidTimestampError, "refused"),
    (InvalidTopicError, "unknown_topic"),
    (TypeError, "not_serialisable"),
    (ValueError, "not_serialisable"),
)


def is_poison(error: BaseException) -> bool:
    return any(isinstance(error, kind) for kind, _ in _REASONS)


def reason_of(error: BaseException) -> str:
    """A short name for metrics and logs."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), type(error).__name__)


def poison_of(record: Record, reason: str, detail: str) -> Poison:
    return Poison(
        row_id=record.row_id,
        key=UUID(record.key.decode()),
        event_id=UUID(record.event_id.decode()),
        event_type=record.event_type,
        destination=record.topic,
        reason=reason,
        detail=detail,
    )


def find_poison(records: Iterable[Record], producer: EventProducer) -> list[Poison]:
    """The poison that shows before anything is sent: missing events and missing topics.

    Raises BrokerUnavailable.
    """
    topics: dict[str, bool] = {}
    poison = []
    for record in records:
        if record.value is None:
            poison.append(poison_of(record, "missing", "The event store has no such event."))
            continue
        if record.topic not in topics:
            topics[record.topic] = producer.knows(record.topic, seconds=KNOWS_TOPIC_SECONDS)
        if not topics[record.topic]:
            poison.append(poison_of(record, "unknown_topic", f"Kafka has no topic {record.topic}."))
    return poison
