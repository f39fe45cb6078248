"""Envelope: a published message with its metadata."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.messages.base import Message, message_class


@dataclass(frozen=True)
class Envelope:
    """A row of the event store, or the same event as a consumer receives it. Times are in UTC.

    `actor` is a JSON object (apps/core/identity/actor.py); empty for events from before actors were recorded.
    """

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
    actor: str = ""

    @property
    def source(self) -> str:
        """CloudEvents `source`: the aggregate, within which `sequence` is unique."""
        return f"/{self.aggregate_type}/{self.aggregate_id}"

    @property
    def is_replay(self) -> bool:
        return self.replay_id is not None

    @property
    def log_ids(self) -> dict[str, str]:
        """The ids by which people look for log lines: of the event, its aggregate and its user."""
        ids = {"event_id": str(self.event_id), f"{self.aggregate_type}_id": str(self.aggregate_id)}
        return ids | ({"user_id": str(self.user_id)} if self.user_id else {})

    def message(self) -> Message:
        """The typed payload. Raises UnknownMessage or InvalidPayload."""
        return message_class(self.event_type, self.schema_version).parse(self.payload)
