"""Targets of a replay. A target takes envelopes that carry the replay's id."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from apps.messages.cloud_events import timestamp, to_json
from apps.messages.envelope import Envelope


class Target:
    """A target of a replay.

    `name` is its name in the replay's own events. `left_by_interruption` tells the operator what an interrupted replay
    leaves behind. A target with `events_at_once` above 1 takes a batch completely or not at all.
    """

    name: str
    left_by_interruption = ""
    events_at_once = 1

    def prepare(self) -> None:
        """Called before the source is read, and before anything is published."""

    def begin(self) -> None:
        """Called once the source has given its first event."""

    def take(self, envelopes: Sequence[Envelope]) -> None:
        raise NotImplementedError

    def catch_up(self) -> Iterator[Sequence[Envelope]]:
        """Called after the source's last event: yields the events that came meanwhile, in batches. Each batch is taken
        before the next is requested."""
        yield from ()

    @contextmanager
    def ending(self) -> Iterator[Sequence[Envelope]]:
        """Wraps the end of the replay: yields the last events to be taken. What the block publishes is committed with
        them."""
        yield ()

    def close(self) -> None:
        """Called last, also after a failure."""


class Lines(Target):
    """One readable line an event."""

    name = "screen"

    def __init__(self, write: Callable[[str], Any]) -> None:
        self._write = write

    def take(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            moment, place = timestamp(envelope.occurred_at), f"{envelope.source} #{envelope.aggregate_seq}"
            self._write(f"{moment}  {envelope.event_type:<22} {place}  {envelope.payload.decode()}")


class JsonLines(Target):
    """One JSON object an event, in CloudEvents' JSON format."""

    name = "jsonl"
    left_by_interruption = "The JSON lines are incomplete."

    def __init__(self, open_file: Callable[[], TextIO]) -> None:
        # Opened in `begin`, not here: the output of an earlier replay is kept if the source cannot be read.
        self._open_file = open_file

    def begin(self) -> None:
        self._file = self._open_file()

    def take(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            self._file.write(json.dumps(to_json(envelope), separators=(",", ":")) + "\n")

    @contextmanager
    def ending(self) -> Iterator[Sequence[Envelope]]:
        self._file.flush()
        yield ()
