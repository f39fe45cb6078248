"""Messages in envelopes and their Kafka headers, for tests that send one without an event store."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from apps.messages.cloud_events import Headers, to_json
from apps.messages.envelope import Envelope

OCCURRED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)

# In binary mode these are the record's content type and value.
_NOT_HEADERS = ("datacontenttype", "data")


def envelope_of(message: Any, event_id: UUID | None = None, *, occurred_at: datetime = OCCURRED_AT) -> Envelope:
    """The first event of a bot."""
    return Envelope(
        event_id=event_id or uuid4(),
        event_type=message.declaration.name,
        schema_version=1,
        aggregate_type="bot",
        aggregate_id=message.aggregate_id,
        aggregate_seq=1,
        occurred_at=occurred_at,
        user_id=None,
        correlation_id=uuid4(),
        causation_id=None,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        payload=message.canonical_bytes(),
    )


def kafka_headers_of(envelope: Envelope) -> Headers:
    """The CloudEvents attributes as headers; a test of the relay's records shows that it writes the same."""
    attributes = to_json(replace(envelope, payload=b"{}"))
    return [(f"ce_{name}", str(attributes[name]).encode()) for name in attributes if name not in _NOT_HEADERS]
