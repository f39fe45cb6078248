"""A record as it came from Kafka: an event of ours, or something that cannot be read as one."""

import base64
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from apps.messages.cloud_events import MalformedEvent, from_kafka, to_json
from apps.messages.envelope import Envelope


@dataclass(frozen=True)
class Arrival:
    """`envelope` is None for what is not an event of ours; `problem` then says why."""

    topic: str
    partition: int
    offset: int
    key: UUID
    event_id: UUID
    event_type: str
    envelope: Envelope | None
    problem: str
    record: Any

    @classmethod
    def of(cls, record: Any) -> "Arrival":
        """Of a ConsumerRecord; never raises."""
        try:
            envelope = from_kafka(record.headers, record.value)
        except MalformedEvent as error:
            # Ids that are the same at every delivery, so that it is kept once.
            place = f"kafka:{record.topic}/{record.partition}"
            return cls(
                record.topic, record.partition, record.offset, uuid5(NAMESPACE_URL, f"{place}/{record.key!r}"),
                uuid5(NAMESPACE_URL, f"{place}/{record.offset}"), "malformed", None, str(error), record,
            )  # fmt: skip
        return cls(
            record.topic, record.partition, record.offset, envelope.aggregate_id,
            envelope.event_id, envelope.event_type, envelope, "", record,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """For the dead-letter table: a CloudEvent, or the record's bytes in base64 where it is none."""
        if self.envelope is not None:
            try:
                return to_json(self.envelope)
            except MalformedEvent:
                pass
        return {
            "malformed": self.problem or "The payload is not JSON.",
            "key": _base64(self.record.key),
            "headers": [[name, _base64(content)] for name, content in self.record.headers],
            "value": _base64(self.record.value),
        }


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
