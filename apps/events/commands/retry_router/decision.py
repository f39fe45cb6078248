"""What becomes of a failed message. Pure: given the message and the command's row, the same answer every time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from apps.events.brokers.rabbitmq.headers import attempt_of, deferrals_of
from apps.events.brokers.rabbitmq.inspection import Inbound, fault_of
from apps.events.commands.executions import State, is_lease_void
from apps.events.models import CommandExecution
from apps.messages.base import Command, Message

# A delivery that is no attempt (a worker without PostgreSQL, a task that is not deployed yet) is put off this often,
# three hours with the rungs as they are by default.
MAX_DEFERRALS = 20


@dataclass(frozen=True)
class Failed:
    """A message that its queue gave up. `declared` is missing where no class of ours has that queue and version."""

    queue: str
    declared: type[Message] | None
    headers: Mapping[str, Any]
    body: bytes
    content_type: str | None = "application/json"
    content_encoding: str | None = "utf-8"


@dataclass(frozen=True)
class Again:
    """Back to the queue after `rung_seconds`, as the attempt given."""

    rung_seconds: int
    attempt: int
    deferrals: int = 0


@dataclass(frozen=True)
class Dead:
    """To the dead-letter queue. `gives_up`: the command's row does not know of it yet. `is_foreign`: no queue of ours
    failed it, so that it goes to the router's own dead letters."""

    reason: str
    gives_up: bool = False
    is_foreign: bool = False


@dataclass(frozen=True)
class Settled:
    """Nothing is left to do: another delivery has finished the command."""

    reason: str


Decision = Again | Dead | Settled


def decide(failed: Failed, row: CommandExecution | None, *, rungs: tuple[int, ...], now: datetime) -> Decision:
    """Commands are counted by their row, everything else by the header."""
    fault = unreadable_because(failed)
    if fault:
        return Dead(fault)
    if failed.declared is None or not issubclass(failed.declared, Command):
        return _by_header(failed, rungs)
    if row is None:
        return _deferred(failed, attempt=1, rungs=rungs)
    return _by_row(failed, row, rungs, now)


def command_id_of(failed: Failed) -> UUID | None:
    """The id under which the command's row is kept; None for what is no command, or not readable."""
    if failed.declared is None or not issubclass(failed.declared, Command):
        return None
    try:
        return UUID(_arguments(failed.body)["command_id"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def command_of(failed: Failed) -> Command:
    """Raises InvalidPayload, ValueError, KeyError or IndexError where the body is no command of that queue."""
    assert failed.declared is not None
    command = failed.declared.parse(orjson.dumps(_arguments(failed.body)))
    assert isinstance(command, Command)
    return command


def unreadable_because(failed: Failed) -> str:
    """Why no attempt can succeed; empty for a message that can be read."""
    return fault_of(Inbound(failed.queue, failed.headers, failed.body, failed.content_type, failed.content_encoding))


def _by_row(failed: Failed, row: CommandExecution, rungs: tuple[int, ...], now: datetime) -> Decision:
    if row.state in (State.DONE, State.DROPPED):
        return Settled(f"already {row.state}")
    is_used_up = row.attempts > len(rungs)
    if row.state == State.FAILED:
        return Dead(row.reason) if is_used_up else Settled("failed for good: a retry would not help")
    if row.state == State.RUNNING and not is_lease_void(row, now=now):
        return Again(_long_enough(row, rungs, now), attempt_of(failed.headers), deferrals_of(failed.headers))
    if row.state == State.RUNNING or is_used_up or attempt_of(failed.headers) > row.attempts:
        # Its worker is gone, or never came so far as to claim it. The next delivery counts the attempt, or gives the
        # command up and says so.
        return _deferred(failed, attempt=row.attempts + 1, rungs=rungs)
    return Again(_rung(row.attempts, rungs), row.attempts + 1)


def _by_header(failed: Failed, rungs: tuple[int, ...]) -> Decision:
    attempt = attempt_of(failed.headers)
    if attempt > len(rungs):
        return Dead(f"failed {attempt} times")
    return Again(_rung(attempt, rungs), attempt + 1)


def _deferred(failed: Failed, *, attempt: int, rungs: tuple[int, ...]) -> Decision:
    deferrals = deferrals_of(failed.headers) + 1
    if deferrals > MAX_DEFERRALS:
        return Dead(f"put off {MAX_DEFERRALS} times: no worker could take it", gives_up=True)
    return Again(_rung(deferrals, rungs), attempt, deferrals)


def _rung(number: int, rungs: tuple[int, ...]) -> int:
    return rungs[min(max(number, 1), len(rungs)) - 1]


def _long_enough(row: CommandExecution, rungs: tuple[int, ...], now: datetime) -> int:
    """The shortest rung that outlasts the lease of whoever runs the command now."""
    assert row.lease_until is not None
    left = (row.lease_until - now).total_seconds()
    return min((rung for rung in rungs if rung >= left), default=max(rungs))


def _arguments(body: bytes) -> dict[str, Any]:
    arguments: dict[str, Any] = orjson.loads(body)[1]
    return arguments
