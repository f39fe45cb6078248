"""One delivery of a command: what a handler gets, and the exceptions that end it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.events.commands import executions
from apps.events.commands.executions import State


class CommandDropped(Exception):
    """Raised by a handler: the command is no longer wanted, for the reason given. It is not retried."""


class ExecutionLost(Exception):
    """Another worker has taken the command over. This one must not commit anything more."""


class ExecutionBusy(Exception):
    """Another delivery of the command is running.

    This one waits for a retry delay, which does not count as an attempt.
    """


class AttemptFailed(Exception):
    """Tells Celery that the attempt failed, so that the message is rejected to the retry router.

    It holds text only, because it is pickled between two processes.
    """


@dataclass(frozen=True)
class Delivery:
    """One attempt at a command. `fence` is its fencing token, which grows with every attempt of any worker."""

    command_id: UUID
    attempt: int
    max_attempts: int
    fence: int
    worker: str

    @property
    def is_last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts

    def renew(self, *, now: datetime) -> None:
        """Extends the lease. The runner also does so by itself while the handler runs. Raises ExecutionLost."""
        if not executions.renew(command_id=self.command_id, fence=self.fence, now=now):
            raise self._lost()

    def complete(self, *, now: datetime, result: dict[str, Any] | None = None) -> None:
        """Marks the command done, with what it came to. Call it in the transaction of the handler's effects.

        Raises ExecutionLost.
        """
        if not self._finish(State.DONE, "", now, result) and not self.is_finished:
            raise self._lost()

    def fail(self, reason: str, *, now: datetime) -> None:
        """Marks the command failed permanently. Raises ExecutionLost."""
        if not self._finish(State.FAILED, reason, now):
            raise self._lost()

    def drop(self, reason: str, *, now: datetime) -> None:
        """Marks the command as no longer wanted. Raises ExecutionLost."""
        if not self._finish(State.DROPPED, reason, now):
            raise self._lost()

    def release(self, reason: str) -> None:
        """Ends this attempt, so that the next one may start. Raises ExecutionLost."""
        if not executions.release(command_id=self.command_id, fence=self.fence, reason=reason):
            raise self._lost()

    @property
    def is_finished(self) -> bool:
        return executions.is_finished_by(command_id=self.command_id, fence=self.fence)

    def _finish(self, state: str, reason: str, now: datetime, result: dict[str, Any] | None = None) -> bool:
        return executions.finish(
            command_id=self.command_id, fence=self.fence, state=state, reason=reason, now=now, result=result
        )

    def _lost(self) -> ExecutionLost:
        return ExecutionLost(f"Command {self.command_id} is run by another worker.")
