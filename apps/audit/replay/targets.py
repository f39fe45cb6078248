"""Where replayed events go. A target takes envelopes that carry the replay's id."""

import json
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from apps.events.cloud_events import timestamp, to_json
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
        moment, place = timestamp(envelope.occurred_at), f"{envelope.source} #{envelope.aggregate_seq}"
        self._write(f"{moment}  {envelope.event_type:<22} {place}  {envelope.payload.decode()}")


class JsonLines:
    """One JSON object an event, in CloudEvents' JSON format, for programs."""

    name = "jsonl"

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def take(self, envelope: Envelope) -> None:
        self._file.write(json.dumps(to_json(envelope), separators=(",", ":")) + "\n")


class Rebuild:
    """A named projection, rebuilt: its handlers take the events again, without their outside effects."""

    def __init__(self, projection: Projection) -> None:
        self.name = f"projection {projection.name}"
        self._projection = projection

    def take(self, envelope: Envelope) -> None:
        deliver(envelope, group=self._projection.group)
