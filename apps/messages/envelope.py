"""Envelope: a published message with its metadata."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.messages.base import Message, message_class


@dataclass(frozen=True)
class Envelope:
    """A row of the event store, or the same event as a consumer receives it. Times are in UTC."""

    event_id: UUID
    event_type: str
    schema_version: int
    aggregate_type: str
    aggregate_id: UUID
    aggregate_seq: int
    occurred_at: datetime
    user_id: UUID | None
    correlation_id: UUID
    causation_id: UUID | None
    traceparent: str
    payload: bytes
    replay_id: UUID | None = None

    @property
    def source(self) -> str:
        """CloudEvents `source`: the aggregate, within which `sequence` is unique."""
        return f"/{self.aggregate_type}/{self.aggregate_id}"

    @property
    def is_replay(self) -> bool:
        return self.replay_id is not None

    def message(self) -> Message:
        """The typed payload. Raises UnknownMessage or InvalidPayload."""
        return message_class(self.event_type, self.schema_version).parse(self.payload)
