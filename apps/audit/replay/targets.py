"""Where replayed events go. A target takes envelopes that carry the replay's id."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from apps.messages.cloud_events import timestamp, to_json
from apps.messages.envelope import Envelope


class Target:
    """`name` is what the replay's own events say of it; `left_by_interruption`, what a person must know afterwards.

    A target that takes more than one event at once takes all of them or none.
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
        """After the source's last event: what came meanwhile, to be taken before the next is asked for."""
        yield from ()

    @contextmanager
    def ending(self) -> Iterator[Sequence[Envelope]]:
        """Around the end of the replay: gives what is left to be taken. What the block publishes counts with it."""
        yield ()

    def close(self) -> None:
        """Called last, in every case."""


class Lines(Target):
    """One line an event, for people."""

    name = "screen"

    def __init__(self, write: Callable[[str], Any]) -> None:
        self._write = write

    def take(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
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

    def take(self, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            self._file.write(json.dumps(to_json(envelope), separators=(",", ":")) + "\n")

    @contextmanager
    def ending(self) -> Iterator[Sequence[Envelope]]:
        self._file.flush()
        yield ()
