"""Detects a stalled process: it lives and work waits, but none of it has been done for a while."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

from apps.core.metrics import WITH_PROGRESS, gauge
from apps.events.process.heartbeats import State

# A process is reported as down after this long with work waiting and no progress. The same for every process.
LIMIT_SECONDS = 30.0

stalled = gauge(
    "process_stalled",
    "1 while work waits and the process has made no progress for 30 s.",
    ["name"],
    processes=WITH_PROGRESS,
)


class Health(NamedTuple):
    """What a heartbeat says: `detail` is a sentence for a person, and empty while all is well."""

    state: State
    detail: str = ""

    @property
    def is_stalled(self) -> bool:
        return self.state == "down"


@dataclass(frozen=True)
class Backlog:
    """The waiting work; the fields are arguments of `Progress.observe`."""

    count: int = 0
    marker: Hashable = None
    reason: str = ""


class Progress:
    """Watches one kind of work of one process: call `observe` about once a second, in one thread.

    `name` labels the gauge `process_stalled`; `what` and `done` make the sentence: "No message was sent for 31 s;
    waiting: 12."
    """

    def __init__(
        self, name: str, *, what: str = "message", done: str = "handled", limit_seconds: float | None = None
    ) -> None:
        self._name = name
        self._what = what
        self._done = done
        self._limit_seconds = limit_seconds
        self._marker: Hashable = None
        self._since: float | None = None
        stalled.labels(name).set(0)

    def observe(self, *, backlog: int, marker: Hashable, now: float, reason: str = "") -> Health:
        """Down if `backlog` stayed above 0 and `marker` unchanged for the limit; otherwise up.

        `marker` changes with every piece of work done, and with nothing else: a count, a committed offset, the id of
        the oldest waiting row. `now` is monotonic, in seconds. `reason` is a sentence with the known cause and what to
        do; it is the end of the detail.
        """
        if self._since is None or backlog <= 0 or marker != self._marker:
            self._since = now
        self._marker = marker
        seconds = now - self._since
        is_stalled = backlog > 0 and seconds >= self.limit_seconds
        stalled.labels(self._name).set(int(is_stalled))
        if not is_stalled:
            return Health("up")
        detail = f"No {self._what} was {self._done} for {int(seconds)} s; waiting: {backlog}. {reason}"
        return Health("down", detail.strip())

    @property
    def limit_seconds(self) -> float:
        return LIMIT_SECONDS if self._limit_seconds is None else self._limit_seconds

    def restart(self) -> None:
        """Starts the limit at the next observation: after a repair was tried, or other work was taken over."""
        self._since = None

    def forget(self) -> None:
        """Removes the gauge: the process no longer does this work, because a partition was revoked, for example."""
        stalled.remove(self._name)


class ProgressWatch:
    """Reads a process's backlog at intervals and keeps the health in between. Not thread-safe.

    `look` reads the backlog. If it raises, the health stays as it was and the next call reads again.
    """

    def __init__(
        self,
        progress: Progress,
        look: Callable[[], Backlog],
        *,
        every_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._look = look
        self._every_seconds = every_seconds
        self._clock = clock
        self._due_at = float("-inf")
        self._health = Health("up")

    def health(self) -> Health:
        """The current health. Raises what `look` raises."""
        if self._clock() >= self._due_at:
            backlog = self._look()
            now = self._clock()
            self._health = self._progress.observe(
                backlog=backlog.count, marker=backlog.marker, now=now, reason=backlog.reason
            )
            self._due_at = now + min(self._every_seconds, self._progress.limit_seconds / 3)
        return self._health

    def restart(self) -> None:
        """As `Progress.restart`."""
        self._progress.restart()
