"""Decision about a failed message: retry, give up, or settle. Pure: depends on its arguments only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from apps.events.brokers.rabbitmq.headers import attempt_of, deferrals_of
from apps.events.brokers.rabbitmq.inspection import InboundMessage, rejection_reason
from apps.events.commands.executions import State, is_lease_void
from apps.events.models import CommandExecution
from apps.messages.base import Command, Message

# Maximum number of deliveries that do not count as attempts (a worker without PostgreSQL, a task that is not deployed
# yet): three hours with the default retry delays.
MAX_DEFERRALS = 20


@dataclass(frozen=True)
class FailedMessage:
    """A message that its work queue rejected. `declared` is None if no message class has that queue and version."""

    queue: str
    declared: type[Message] | None
    headers: Mapping[str, Any]
    body: bytes
    content_type: str | None = "application/json"
    content_encoding: str | None = "utf-8"


@dataclass(frozen=True)
class Retry:
    """Back to the work queue after `delay_seconds`, as attempt number `attempt`."""

    delay_seconds: int
    attempt: int
    deferrals: int = 0


@dataclass(frozen=True)
class GiveUp:
    """To the dead-letter queue.

    `fails_command`: the command's row has to be marked failed. `is_foreign`: the message comes from no queue of this
    platform, so it goes to the dead-letter queue of the failure queue itself.
    """

    reason: str
    fails_command: bool = False
    is_foreign: bool = False


@dataclass(frozen=True)
class Settled:
    """Nothing to do: another delivery has finished the command."""

    reason: str


Decision = Retry | GiveUp | Settled


def decide(failed: FailedMessage, row: CommandExecution | None, *, delays: tuple[int, ...], now: datetime) -> Decision:
    """Attempts of commands are counted by their row, those of other messages by a header."""
    reason = invalid_because(failed)
    if reason:
        return GiveUp(reason)
    if failed.declared is None or not issubclass(failed.declared, Command):
        return _by_header(failed, delays)
    if row is None:
        return _deferred(failed, attempt=1, delays=delays)
    return _by_row(failed, row, delays, now)


def command_id_of(failed: FailedMessage) -> UUID | None:
    """The command id of the message; None if it is not a valid command."""
    if failed.declared is None or not issubclass(failed.declared, Command):
        return None
    try:
        return UUID(_arguments(failed.body)["command_id"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def command_of(failed: FailedMessage) -> Command:
    """Raises InvalidPayload, ValueError, KeyError or IndexError if the body is not a command of that queue."""
    assert failed.declared is not None
    command = failed.declared.parse(orjson.dumps(_arguments(failed.body)))
    assert isinstance(command, Command)
    return command


def invalid_because(failed: FailedMessage) -> str:
    """Why the message is invalid, so that no attempt can succeed; empty if it is valid."""
    return rejection_reason(
        InboundMessage(failed.queue, failed.headers, failed.body, failed.content_type, failed.content_encoding)
    )


def _by_row(failed: FailedMessage, row: CommandExecution, delays: tuple[int, ...], now: datetime) -> Decision:
    if row.state in (State.DONE, State.DROPPED):
        return Settled(f"already {row.state}")
    is_used_up = row.attempts > len(delays)
    if row.state == State.FAILED:
        return GiveUp(row.reason) if is_used_up else Settled("failed for good: a retry would not help")
    if row.state == State.RUNNING and not is_lease_void(row, now=now):
        return Retry(_outlasting_lease(row, delays, now), attempt_of(failed.headers), deferrals_of(failed.headers))
    if row.state == State.RUNNING or is_used_up or attempt_of(failed.headers) > row.attempts:
        # Its worker has ended, or never claimed it. The next delivery counts the attempt, or fails the command.
        return _deferred(failed, attempt=row.attempts + 1, delays=delays)
    return Retry(_delay(row.attempts, delays), row.attempts + 1)


def _by_header(failed: FailedMessage, delays: tuple[int, ...]) -> Decision:
    attempt = attempt_of(failed.headers)
    if attempt > len(delays):
        return GiveUp(f"failed {attempt} times")
    return Retry(_delay(attempt, delays), attempt + 1)


def _deferred(failed: FailedMessage, *, attempt: int, delays: tuple[int, ...]) -> Decision:
    deferrals = deferrals_of(failed.headers) + 1
    if deferrals > MAX_DEFERRALS:
        return GiveUp(f"deferred {MAX_DEFERRALS} times: no worker could take it", fails_command=True)
    return Retry(_delay(deferrals, delays), attempt, deferrals)


def _delay(number: int, delays: tuple[int, ...]) -> int:
    return delays[min(max(number, 1), len(delays)) - 1]


def _outlasting_lease(row: CommandExecution, delays: tuple[int, ...], now: datetime) -> int:
    """The shortest retry delay that outlasts the current lease of the command; the longest if none does."""
    assert row.lease_until is not None
    left = (row.lease_until - now).total_seconds()
    return min((delay for delay in delays if delay >= left), default=max(delays))


def _arguments(body: bytes) -> dict[str, Any]:
    arguments: dict[str, Any] = orjson.loads(body)[1]
    return arguments
