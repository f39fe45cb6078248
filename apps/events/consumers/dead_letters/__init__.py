"""Dead letters of both brokers: listed, shown, redriven and purged by `manage.py dead_letters`.

Two modules implement the `Source` protocol below: `apps.events.consumers.dead_letters.store` for events that a consumer
group could not handle (sources named `consumer:<group>`), and `apps.events.commands.dead_letters.queue` for messages in
RabbitMQ that used up their attempts (sources named `<queue>.dlq`).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

CONSUMER_PREFIX = "consumer:"


@dataclass(frozen=True)
class Filters:
    """Selects the dead letters that match every filter given. `error` is a substring of the error's text."""

    event_type: str | None = None
    key: UUID | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None

    def as_words(self) -> dict[str, Any]:
        """The filters that were given, as JSON values, for the audit event of a redrive or purge."""
        given = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value if isinstance(value, int) else str(value) for name, value in given if value is not None}


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter. `letter_id` identifies it within its source; `content` holds the whole message for `show`."""

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
class RedriveOutcome:
    """Result of a redrive: how many were sent again or handled, how many failed again, how many stay dead letters."""

    redriven: int = 0
    failed: int = 0
    left: int = 0


OnDeadLetter = Callable[[DeadLetter, str], None]
"""Called once per dead letter of a redrive, with a short text that says what happened to it."""


class Source(Protocol):
    """The functions that both modules offer."""

    def sources(self) -> list[str]: ...
    def count(self, source: str) -> int: ...
    def find(self, source: str, filters: Filters) -> Iterator[DeadLetter]: ...
    def show(self, source: str, letter_id: str) -> DeadLetter: ...
    def redrive(
        self,
        source: str,
        filters: Filters,
        *,
        rate: float | None,
        dry_run: bool,
        operator: str,
        progress: OnDeadLetter,
    ) -> RedriveOutcome: ...
    def purge(self, source: str, filters: Filters, *, dry_run: bool, operator: str) -> int: ...


class RateLimiter:
    """Limits a loop to `rate` rounds per second; None means no limit."""

    def __init__(self, rate: float | None) -> None:
        self._seconds = 1 / rate if rate else 0.0
        self._next_at: float | None = None

    def wait(self, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Blocks until the next round is due. Calls `meanwhile` about once per second."""
        now = time.monotonic()
        while self._next_at is not None and self._next_at > now:
            time.sleep(min(self._next_at - now, 1.0))
            meanwhile()
            now = time.monotonic()
        self._next_at = max(now, self._next_at or now) + self._seconds
