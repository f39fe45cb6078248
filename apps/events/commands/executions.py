"""The state of a command's run, kept by conditional updates: claimed by one worker at a time, finished once.

The broker delivers a command at least once, and after a lost connection a second time while the first run goes on. The
lease keeps the second away; the fence, which grows with every claim, keeps a run that lost its lease from writing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

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
   AND (e.state = 'retrying' OR (e.state = 'running' AND e.lease_until <= %(now)s))
RETURNING e.fence, e.attempts
"""


class Verdict(StrEnum):
    """What a delivery finds: `exhausted` means that the last allowed attempt was lost with its worker."""

    CLAIMED = "claimed"
    BUSY = "busy"
    FINISHED = "finished"
    EXHAUSTED = "exhausted"


class Redrive(StrEnum):
    """Whether a dead command may be sent again; otherwise what it is. Text for a person."""

    READY = "ready"
    FINISHED = "finished already"
    UNDER_WAY = "under way again"


@dataclass(frozen=True)
class Claim:
    """`fence` and `attempt` are the run's own where it may run (claimed) or must be given up (exhausted)."""

    verdict: Verdict
    fence: int = 0
    attempt: int = 0
    state: str = ""


def max_attempts() -> int:
    """The first delivery and one for each rung."""
    return 1 + len(settings.ENVIRONMENT.retry_rungs_seconds)


def claim(command: Command, *, worker: str, now: datetime) -> Claim:
    """Takes the command for this worker, or says why not."""
    values: dict[str, Any] = {
        "command_id": command.command_id,
        "name": command.declaration.name,
        "aggregate_id": command.aggregate_id,
        "worker": worker,
        "lease_until": now + LEASE,
        "now": now,
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
    """Whether nobody runs this command any more: its lease has passed, or its worker was here and is gone."""
    return row.lease_until is None or row.lease_until <= now or has_died(row.worker)


def renew(*, command_id: UUID, fence: int, now: datetime) -> bool:
    """Prolongs the lease. False where another worker has taken over, or the run is finished."""
    owned = CommandExecution.objects.filter(command_id=command_id, fence=fence, state=State.RUNNING)
    return owned.update(lease_until=now + LEASE) == 1


def release(*, command_id: UUID, fence: int, reason: str) -> bool:
    """Ends an attempt that failed: the next one may begin at once. False where this run is not the owner."""
    own = CommandExecution.objects.filter(command_id=command_id, fence=fence)
    released = own.filter(state=State.RUNNING).update(
        state=State.RETRYING, lease_until=None, reason=reason[:MAX_REASON_LENGTH]
    )
    # None to release where the answer to an earlier call was lost.
    return released == 1 or own.filter(state=State.RETRYING).exists()


def disclaim(command: Command, *, worker: str, claimed_at: datetime) -> None:
    """Takes a claim back whose answer was lost, if it was made. Changes nobody else's."""
    CommandExecution.objects.filter(
        command_id=command.command_id, worker=worker, lease_until=claimed_at + LEASE, state=State.RUNNING
    ).update(state=State.RETRYING, lease_until=None, reason="PostgreSQL was lost while the command was claimed.")


def finish(*, command_id: UUID, fence: int, state: str, reason: str, now: datetime) -> bool:
    """Ends the command for good. False where this run is not the owner, or it is finished already."""
    owned = CommandExecution.objects.filter(command_id=command_id, fence=fence, state=State.RUNNING)
    return owned.update(state=state, lease_until=None, reason=reason[:MAX_REASON_LENGTH], finished_at=now) == 1


def is_finished_by(*, command_id: UUID, fence: int) -> bool:
    """Whether the run with this fence has finished the command."""
    return CommandExecution.objects.filter(
        command_id=command_id, fence=fence, state__in=(State.DONE, State.DROPPED, State.FAILED)
    ).exists()


def give_up(command: Command, *, reason: str, now: datetime) -> None:
    """Marks failed what no worker could take. Changes nothing that is finished."""
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
    """Gives a failed command all its attempts again. Asked twice before a worker took it, it says so twice."""
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
    # Without an attempt since the redrive: its message may not have been sent.
    return Redrive.READY if row.state == State.RETRYING and row.attempts == 0 else Redrive.UNDER_WAY
