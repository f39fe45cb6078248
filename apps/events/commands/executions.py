"""Execution state of commands: claimed by one worker at a time and finished once, by conditional updates.

The broker delivers a command at least once, and after a lost connection a second time while the first run continues. A
lease keeps the second delivery from running; a fencing token (`fence`), which grows with every claim, keeps a run that
lost its lease from writing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.core.due import CLOCKS_DIFFER, is_due
from apps.events.commands.worker.identity import has_died
from apps.events.models import CommandExecution
from apps.messages.base import Command

State = CommandExecution.State

LEASE = timedelta(seconds=30)
MAX_REASON_LENGTH = 500

_TAKE = """
UPDATE command_execution AS e
   SET state = 'running', attempts = e.attempts + %(counts)s, fence = e.fence + 1, worker = %(worker)s,
       lease_until = %(lease_until)s
 WHERE e.command_id = %(command_id)s
"""
_CLAIM = """
INSERT INTO command_execution AS e
       (command_id, name, aggregate_id, state, attempts, fence, worker, lease_until, reason, first_delivered_at)
VALUES (%(command_id)s, %(name)s, %(aggregate_id)s, 'running', 1, 1, %(worker)s, %(lease_until)s, '', %(now)s)
ON CONFLICT (command_id) DO UPDATE
   SET state = 'running', attempts = e.attempts + 1, fence = e.fence + 1, worker = excluded.worker,
       lease_until = excluded.lease_until
 WHERE e.attempts < %(max_attempts)s
   AND (e.state = 'retrying' OR (e.state = 'running' AND (e.lease_until <= %(now)s OR e.lease_until > %(too_far)s)))
RETURNING e.fence, e.attempts
"""


class Verdict(StrEnum):
    """Result of a claim. `exhausted` means that the worker of the last allowed attempt was lost."""

    CLAIMED = "claimed"
    BUSY = "busy"
    FINISHED = "finished"
    EXHAUSTED = "exhausted"


class Redrive(StrEnum):
    """Whether a dead-lettered command may be sent again, or why not. The values are shown to operators."""

    READY = "ready"
    FINISHED = "finished already"
    IN_PROGRESS = "in progress again"


@dataclass(frozen=True)
class Claim:
    """`fence` and `attempt` belong to this run if it may run (claimed) or must fail the command (exhausted)."""

    verdict: Verdict
    fence: int = 0
    attempt: int = 0
    state: str = ""


def max_attempts() -> int:
    """One for the first delivery and one for each retry delay."""
    return 1 + len(settings.ENVIRONMENT.retry_delays_seconds)


def claim(command: Command, *, worker: str, now: datetime) -> Claim:
    """Claims the command for this worker, or says why it cannot be claimed."""
    values: dict[str, Any] = {
        "command_id": command.command_id,
        "name": command.declaration.name,
        "aggregate_id": command.aggregate_id,
        "worker": worker,
        "lease_until": now + LEASE,
        "now": now,
        # Only a clock that was set back since leaves a lease that ends later.
        "too_far": now + LEASE + CLOCKS_DIFFER,
        "max_attempts": max_attempts(),
        "counts": 1,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        row = cursor.fetchone()
        if row:
            return Claim(Verdict.CLAIMED, fence=row[0], attempt=row[1])
        found = CommandExecution.objects.get(command_id=command.command_id)
        if found.state not in (State.RUNNING, State.RETRYING):
            return Claim(Verdict.FINISHED, attempt=found.attempts, state=found.state)
        is_free = found.state == State.RETRYING or is_lease_void(found, now=now)
        if not is_free:
            return Claim(Verdict.BUSY, attempt=found.attempts, state=found.state)
        is_last = found.attempts >= max_attempts()
        values |= {"seen_fence": found.fence, "counts": 0 if is_last else 1}
        cursor.execute(_TAKE + "AND e.fence = %(seen_fence)s RETURNING e.fence, e.attempts", values)
        row = cursor.fetchone()
    if not row:
        return Claim(Verdict.BUSY, attempt=found.attempts, state=found.state)
    return Claim(Verdict.EXHAUSTED if is_last else Verdict.CLAIMED, fence=row[0], attempt=row[1])


def is_lease_void(row: CommandExecution, *, now: datetime) -> bool:
    """Whether no worker runs this command: its lease has expired, or its worker ran on this machine and has ended."""
    return row.lease_until is None or is_due(row.lease_until, now=now, at_most=LEASE) or has_died(row.worker)


def renew(*, command_id: UUID, fence: int, now: datetime) -> bool:
    """Extends the lease. False if another worker has taken over, or the run is finished."""
    owned = CommandExecution.objects.filter(command_id=command_id, fence=fence, state=State.RUNNING)
    return owned.update(lease_until=now + LEASE) == 1


def release(*, command_id: UUID, fence: int, reason: str) -> bool:
    """Ends a failed attempt, so that the next one may start at once. False if this run is not the owner."""
    own = CommandExecution.objects.filter(command_id=command_id, fence=fence)
    released = own.filter(state=State.RUNNING).update(
        state=State.RETRYING, lease_until=None, reason=reason[:MAX_REASON_LENGTH]
    )
    # There is nothing to update if an earlier call took effect and its answer was lost.
    return released == 1 or own.filter(state=State.RETRYING).exists()


def release_unconfirmed_claim(command: Command, *, worker: str, claimed_at: datetime) -> None:
    """Releases a claim whose answer was lost, if it took effect. Changes no other worker's claim."""
    CommandExecution.objects.filter(
        command_id=command.command_id, worker=worker, lease_until=claimed_at + LEASE, state=State.RUNNING
    ).update(state=State.RETRYING, lease_until=None, reason="PostgreSQL was lost while the command was claimed.")


def finish(
    *, command_id: UUID, fence: int, state: str, reason: str, now: datetime, result: dict[str, Any] | None = None
) -> bool:
    """Ends the command permanently. False if this run is not the owner, or the command is finished already."""
    owned = CommandExecution.objects.filter(command_id=command_id, fence=fence, state=State.RUNNING)
    end = {"state": state, "lease_until": None, "reason": reason[:MAX_REASON_LENGTH], "finished_at": now}
    return owned.update(**end, result=result) == 1


def result_set(*, command_id: UUID, result: dict[str, Any]) -> None:
    """Replaces the result of a finished command: what it came to is known better by now."""
    finished = CommandExecution.objects.filter(command_id=command_id, finished_at__isnull=False)
    finished.update(result=result)


def results_for_update(*, aggregate_id: UUID, **facts: Any) -> list[CommandExecution]:
    """The finished commands to an aggregate whose result has these facts, locked for update, oldest first."""
    finished = CommandExecution.objects.select_for_update().filter(
        aggregate_id=aggregate_id, finished_at__isnull=False, result__contains=facts
    )
    return list(finished.order_by("first_delivered_at", "command_id"))


def is_finished_by(*, command_id: UUID, fence: int) -> bool:
    """Whether the run with this fence has finished the command."""
    return CommandExecution.objects.filter(
        command_id=command_id, fence=fence, state__in=(State.DONE, State.DROPPED, State.FAILED)
    ).exists()


def give_up(command: Command, *, reason: str, now: datetime) -> None:
    """Marks a command failed that no worker could claim. Changes nothing if it is finished."""
    row, _ = CommandExecution.objects.get_or_create(
        command_id=command.command_id,
        defaults={
            "name": command.declaration.name,
            "aggregate_id": command.aggregate_id,
            "state": State.RETRYING,
            "first_delivered_at": now,
        },
    )
    unfinished = CommandExecution.objects.filter(pk=row.pk, state__in=(State.RUNNING, State.RETRYING))
    unfinished.update(state=State.FAILED, lease_until=None, reason=reason[:MAX_REASON_LENGTH], finished_at=now)


def redrive(command_id: UUID, *, operator: str) -> Redrive:
    """Gives a failed command all its attempts again. Idempotent until a worker has claimed it."""
    failed = CommandExecution.objects.filter(command_id=command_id, state=State.FAILED)
    failed.update(
        state=State.RETRYING, attempts=0, finished_at=None, reason=f"redriven by {operator}"[:MAX_REASON_LENGTH]
    )
    return may_redrive(command_id)


def may_redrive(command_id: UUID) -> Redrive:
    row = CommandExecution.objects.filter(command_id=command_id).first()
    if row is None or row.state == State.FAILED:
        return Redrive.READY
    if row.state in (State.DONE, State.DROPPED):
        return Redrive.FINISHED
    # No attempt since the redrive: its message may not have been sent.
    return Redrive.READY if row.state == State.RETRYING and row.attempts == 0 else Redrive.IN_PROGRESS
