"""Inbound record: a Kafka record, parsed into an event envelope if it is one."""

import base64
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from apps.messages.cloud_events import MalformedEvent, from_kafka, to_json
from apps.messages.envelope import Envelope


@dataclass(frozen=True)
class InboundRecord:
    """`envelope` is None if the record is not a valid event; `problem` then says why. `raw` is the ConsumerRecord."""

    topic: str
    partition: int
    offset: int
    key: UUID
    event_id: UUID
    event_type: str
    envelope: Envelope | None
    problem: str
    raw: Any

    @classmethod
    def of(cls, raw: Any) -> "InboundRecord":
        """Parses a kafka-python ConsumerRecord. Never raises."""
        try:
            envelope = from_kafka(raw.headers, raw.value)
        except MalformedEvent as error:
            # The ids derive from the offset, so that a redelivery is stored once.
            place = f"kafka:{raw.topic}/{raw.partition}"
            return cls(
                raw.topic, raw.partition, raw.offset, uuid5(NAMESPACE_URL, f"{place}/{raw.key!r}"),
                uuid5(NAMESPACE_URL, f"{place}/{raw.offset}"), "malformed", None, str(error), raw,
            )  # fmt: skip
        return cls(
            raw.topic, raw.partition, raw.offset, envelope.aggregate_id,
            envelope.event_id, envelope.event_type, envelope, "", raw,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """For the dead-letter table: a CloudEvent, or the raw record in base64 if it is not a valid event."""
        if self.envelope is not None:
            try:
                return to_json(self.envelope)
            except MalformedEvent:
                pass
        return {
            "malformed": self.problem or "The payload is not JSON.",
            "key": _base64(self.raw.key),
            "headers": [[name, _base64(content)] for name, content in self.raw.headers],
            "value": _base64(self.raw.value),
        }


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
