"""Runs the tasks of one lane, each at its interval."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import DatabaseError
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.events.process.backoff import delay_seconds
from apps.events.process.heartbeats import beat
from apps.events.process.leases import LeaseSet
from apps.events.process.progress import Health
from apps.events.process.run_loop import DATABASE_ERRORS
from apps.ops.housekeeping import metrics
from apps.ops.housekeeping.task import Lane, Task

log = structlog.get_logger(__name__)

NAME = "housekeeping"
STANDBY_SECONDS = 1.0
# Longer than any task should take. Where one takes longer, it may run beside itself for a while, which each allows.
LEASE_SECONDS = 30.0
FIRST_RETRY_SECONDS = 5.0


@dataclass
class _Turn:
    """When a task runs next (monotonic clock), and how it went; `error` is empty while all is well."""

    task: Task
    due_at: float
    failures: int = 0
    error: str = ""


class Keeper:
    """The tasks of a lane, one a step. A second process is a hot standby: only the holder of the lease runs tasks.

    `clock` is monotonic, `now` is passed to the tasks (UTC). The heartbeat is written between two tasks, so that one
    that hangs silences it, and is down while a task fails.
    """

    def __init__(
        self,
        lane: Lane,
        tasks: Sequence[Task],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = timezone.now,
        leases: LeaseSet | None = None,
    ) -> None:
        self._name = f"{NAME}.{lane}"
        self._clock, self._now = clock, now
        self._leases = leases or LeaseSet(self._name, [0], seconds=LEASE_SECONDS, clock=clock)
        self._turns = [_Turn(task, due_at=clock()) for task in tasks if task.lane == lane]

    def step(self) -> float:
        """Runs the task that has been due longest. Returns the seconds until the next step. Raises DatabaseError."""
        if not self._leases.keep():
            return STANDBY_SECONDS
        turn = min(self._turns, key=lambda each: each.due_at)
        try:
            if turn.due_at <= self._clock():
                self._run(turn)
        finally:
            beat(self._name, *self.health())
        left = min(each.due_at for each in self._turns) - self._clock()
        return min(max(left, 0.0), STANDBY_SECONDS)

    def health(self) -> Health:
        failing = [f"{turn.task.name}: {turn.error}" for turn in self._turns if turn.error]
        return Health("down", " ".join(failing)) if failing else Health("up")

    def close(self) -> None:
        """Releases the lease, so that a standby takes over at once."""
        try:
            self._leases.release()
        except DatabaseError as error:
            log.warning("leases_not_released", error=str(error), advice="A standby takes over when they expire.")

    def _run(self, turn: _Turn) -> None:
        """Whatever a task raises, the others have their turn; the loop waits for a database that is down."""
        name = turn.task.name
        try:
            done = turn.task.run(self._now())
        except Exception as error:
            self._failed(turn, error)
            if isinstance(error, DATABASE_ERRORS):
                raise
            return
        if turn.failures:
            log.info("housekeeping_works_again", task=name, after_failures=turn.failures)
        if done:
            log.info("housekeeping_done", task=name, items=done)
        turn.failures, turn.error = 0, ""
        turn.due_at = self._clock() + (0.0 if done else turn.task.interval.total_seconds())
        metrics.runs.labels(name, "done").inc()
        metrics.items.labels(name).inc(done)
        metrics.failing.labels(name).set(0)
        metrics.last_success.labels(name).set(self._now().timestamp())

    def _failed(self, turn: _Turn, error: Exception) -> None:
        turn.failures += 1
        is_told = isinstance(error, PlatformError)
        # What an unforeseen error says may hold data of a row: its kind alone is shown, and the log has the traceback.
        turn.error = error.message if isinstance(error, PlatformError) else f"{type(error).__name__}, see the log."
        longest = max(turn.task.interval.total_seconds(), FIRST_RETRY_SECONDS)
        seconds = delay_seconds(turn.failures, first_seconds=FIRST_RETRY_SECONDS, max_seconds=longest)
        turn.due_at = self._clock() + seconds
        log.error(
            "housekeeping_failed",
            task=turn.task.name,
            error=turn.error,
            failures=turn.failures,
            next_try_in_seconds=seconds,
            exc_info=not is_told,
        )
        metrics.runs.labels(turn.task.name, "failed").inc()
        metrics.failing.labels(turn.task.name).set(1)
