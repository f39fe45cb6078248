"""Tells a process that makes progress from one that only lives: work waits, and for a while none of it was done."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import Gauge

from apps.events.process.heartbeats import State

# Work may wait this long without any progress before its process is reported as down. The same for every process.
LIMIT_SECONDS = 30.0

stalled = Gauge(
    "process_stalled",
    "1 while work waits and the process has made no progress for 30 s.",
    ["name"],
    multiprocess_mode="livemax",
)


class Standing(NamedTuple):
    """What a heartbeat says: `detail` is a sentence for a person, and empty while all is well."""

    state: State
    detail: str = ""

    @property
    def is_stalled(self) -> bool:
        return self.state == "down"


@dataclass(frozen=True)
class Backlog:
    """What waits, as `Progress.observe` wants it."""

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

    def observe(self, *, backlog: int, marker: Hashable, now: float, reason: str = "") -> Standing:
        """Down where `backlog` was above 0 and `marker` the same all the time for as long as the limit; else up.

        `marker` is anything that changes with every piece of work done, and with nothing else: a count, a committed
        offset, the id of the oldest row that waits. `now` is of a clock that never jumps, in seconds. `reason` says in
        a sentence what is known of the cause and what to do; it ends the detail.
        """
        if self._since is None or backlog <= 0 or marker != self._marker:
            self._since = now
        self._marker = marker
        seconds = now - self._since
        is_stalled = backlog > 0 and seconds >= self.limit_seconds
        stalled.labels(self._name).set(int(is_stalled))
        if not is_stalled:
            return Standing("up")
        detail = f"No {self._what} was {self._done} for {int(seconds)} s; waiting: {backlog}. {reason}"
        return Standing("down", detail.strip())

    @property
    def limit_seconds(self) -> float:
        return LIMIT_SECONDS if self._limit_seconds is None else self._limit_seconds

    def restart(self) -> None:
        """Counts from the next observation: after what is expected to heal the process, or work changed hands."""
        self._since = None

    def forget(self) -> None:
        """Takes the gauge's line away: the process no longer does this work (a partition was revoked, say)."""
        stalled.remove(self._name)


class ProgressWatch:
    """Looks at a process's backlog from time to time, and keeps how it stands in between. For one thread.

    `look` may raise; the standing before is kept then, and the next call looks again.
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
        self._standing = Standing("up")

    def standing(self) -> Standing:
        """Raises what the look raises."""
        if self._clock() >= self._due_at:
            backlog = self._look()
            now = self._clock()
            self._standing = self._progress.observe(
                backlog=backlog.count, marker=backlog.marker, now=now, reason=backlog.reason
            )
            self._due_at = now + min(self._every_seconds, self._progress.limit_seconds / 3)
        return self._standing

    def restart(self) -> None:
        """As of `Progress`."""
        self._progress.restart()
