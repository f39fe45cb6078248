"""Where replayed events go. A target takes envelopes that carry the replay's id."""

import json
from collections.abc import Callable
from typing import Any, TextIO

from django.db import connection, transaction

from apps.events.cloud_events import timestamp, to_json
from apps.events.consumers import deliver, load_consumers
from apps.events.envelope import Envelope
from apps.events.projections import Projection


class Target:
    """`name` is what the replay's own events say of it; `left_by_interruption`, what a person must know afterwards."""

    name: str
    left_by_interruption = ""

    def begin(self) -> None:
        """Called once the source has given its first event."""

    def take(self, envelope: Envelope) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Called after the last event."""


class Lines(Target):
    """One line an event, for people."""

    name = "screen"

    def __init__(self, write: Callable[[str], Any]) -> None:
        self._write = write

    def take(self, envelope: Envelope) -> None:
        moment, place = timestamp(envelope.occurred_at), f"{envelope.source} #{envelope.aggregate_seq}"
        self._write(f"{moment}  {envelope.event_type:<22} {place}  {envelope.payload.decode()}")


class JsonLines(Target):
    """One JSON object an event, in CloudEvents' JSON format, for programs."""

    name = "jsonl"
    left_by_interruption = "The JSON lines are incomplete."

    def __init__(self, open_file: Callable[[], TextIO]) -> None:
        # Opened at the beginning and not before: what an earlier replay wrote stays where the source cannot be read.
        self._open_file = open_file

    def begin(self) -> None:
        self._file = self._open_file()

    def take(self, envelope: Envelope) -> None:
        self._file.write(json.dumps(to_json(envelope), separators=(",", ":")) + "\n")

    def end(self) -> None:
        self._file.flush()


class Rebuild(Target):
    """A named projection, rebuilt: its handlers take the events again, without their outside effects."""

    def __init__(self, projection: Projection) -> None:
        load_consumers()
        self.name = f"projection {projection.name}"
        self.left_by_interruption = (
            f"The projection {projection.name} is incomplete: run the command again, which starts over, once the cause "
            "is removed."
        )
        self._projection = projection

    def begin(self) -> None:
        self._projection.start_over()

    def take(self, envelope: Envelope) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            # Half of a projection is worth nothing: the replay's own last commit brings all others to the disk.
            cursor.execute("SET LOCAL synchronous_commit = off")
            deliver(envelope, group=self._projection.group)
