"""Where replayed events go. A target takes envelopes that carry the replay's id."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TextIO

from apps.events.consumers import deliver
from apps.events.envelope import Envelope
from apps.events.projections import Projection


class Target(Protocol):
    """`name` is what the replay's own event says of it."""

    name: str

    def take(self, envelope: Envelope) -> None: ...


class Lines:
    """One line an event, for people."""

    name = "screen"

    def __init__(self, write: Callable[[str], Any]) -> None:
        self._write = write

    def take(self, envelope: Envelope) -> None:
        self._write(
            f"{_time(envelope.occurred_at)}  {envelope.event_type:<22} {envelope.source} #{envelope.aggregate_seq}  "
            f"{envelope.payload.decode()}"
        )


class JsonLines:
    """One JSON object an event, in CloudEvents' JSON format, for programs."""

    name = "jsonl"

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def take(self, envelope: Envelope) -> None:
        self._file.write(json.dumps(as_cloud_event(envelope), separators=(",", ":")) + "\n")


class Rebuild:
    """A named projection, rebuilt: its handlers take the events again, without their outside effects."""

    def __init__(self, projection: Projection) -> None:
        self.name = f"projection {projection.name}"
        self._projection = projection

    def take(self, envelope: Envelope) -> None:
        deliver(envelope, group=self._projection.group)


def as_cloud_event(envelope: Envelope) -> dict[str, Any]:
    """CloudEvents 1.0 JSON, with the extensions that records on Kafka carry."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(envelope.event_id),
        "type": envelope.event_type,
        "source": envelope.source,
        "time": _time(envelope.occurred_at),
        "sequence": f"{envelope.aggregate_seq:020d}",
        "partitionkey": str(envelope.aggregate_id),
        "datacontenttype": "application/json",
        "correlationid": str(envelope.correlation_id),
        "traceparent": envelope.traceparent,
        "data": json.loads(envelope.payload),
    }
    if envelope.causation_id:
        event["causationid"] = str(envelope.causation_id)
    if envelope.replay_id:
        event["replayid"] = str(envelope.replay_id)
    return event


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
