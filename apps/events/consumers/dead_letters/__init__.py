"""Dead letters of the brokers: listed, shown, redriven and purged by `manage.py dead_letters`.

Two modules hold them, each with the same functions: `consumers` for events that a consumer group could not handle
(sources called `consumer:<group>`), `rabbitmq` for messages that have used up their attempts (sources called
`<queue>.dlq`):

    sources() -> list[str]
    count(source) -> int
    letters(source, filters) -> Iterator[Letter]
    show(source, letter_id) -> Letter
    redrive(source, filters, *, rate, dry_run, operator, progress) -> Outcome
    purge(source, filters, *, dry_run, operator) -> int
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True)
class Filters:
    """Which dead letters are meant: all that are given must fit. `error` is a part of the error's text."""

    event_type: str | None = None
    key: UUID | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None

    def as_words(self) -> dict[str, Any]:
        """What was given, for the event that tells of a redrive."""
        given = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value if isinstance(value, int) else str(value) for name, value in given if value is not None}


@dataclass(frozen=True)
class Letter:
    """A dead letter. `letter_id` names it within its source; `content` is the whole message for `show`."""

    letter_id: str
    source: str
    event_type: str
    event_id: UUID | None
    key: UUID | None
    reason: str
    error: str
    attempts: int
    died_at: datetime | None
    content: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a redrive did: sent again or handled, failed again, and left where it was."""

    redriven: int = 0
    failed: int = 0
    left: int = 0


Progress = Callable[[Letter, str], None]
"""Told of every letter and what became of it, in a word."""


class Source(Protocol):
    """The functions that each half offers."""

    def sources(self) -> list[str]: ...
    def count(self, source: str) -> int: ...
    def letters(self, source: str, filters: Filters) -> Iterator[Letter]: ...
    def show(self, source: str, letter_id: str) -> Letter: ...
    def redrive(
        self,
        source: str,
        filters: Filters,
        *,
        rate: float | None,
        dry_run: bool,
        operator: str,
        progress: Progress,
    ) -> Outcome: ...
    def purge(self, source: str, filters: Filters, *, dry_run: bool, operator: str) -> int: ...


class Pace:
    """Holds a loop to `rate` rounds a second; None is as fast as it goes."""

    def __init__(self, rate: float | None) -> None:
        self._seconds = 1 / rate if rate else 0.0
        self._next_at: float | None = None

    def wait(self, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Calls `meanwhile` about once a second."""
        now = time.monotonic()
        while self._next_at is not None and self._next_at > now:
            time.sleep(min(self._next_at - now, 1.0))
            meanwhile()
            now = time.monotonic()
        self._next_at = max(now, self._next_at or now) + self._seconds


CONSUMER_PREFIX = "consumer:"
