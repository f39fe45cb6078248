"""Command receipts: the progress of a command."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, TextChoices

from apps.bots.errors import CommandNotFound
from apps.bots.models import BotCommand, CommandKind
from apps.bots.selectors.bots import bot_get
from apps.events.commands.executions import State
from apps.events.models import CommandExecution
from apps.events.store.selectors import command_executions_by_id, undispatched_ids


class CommandReceiptState(TextChoices):
    """`requested`: recorded; `delivered`: accepted by the broker. The last three are final."""

    REQUESTED = "requested"
    DELIVERED = "delivered"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"


# Outcomes of a command that is done and yet leaves something to look at.
INCOMPLETE = frozenset({"incomplete", "unknown", "open"})

_OF_EXECUTION = {
    State.RUNNING: CommandReceiptState.RUNNING,
    State.RETRYING: CommandReceiptState.RUNNING,
    State.DONE: CommandReceiptState.DONE,
    State.FAILED: CommandReceiptState.FAILED,
    State.DROPPED: CommandReceiptState.DROPPED,
}


@dataclass(frozen=True)
class CommandReceipt:
    """`reason`: why the command failed, was dropped or is incomplete, or the last attempt's error.

    `begun_at`: the first attempt. `result`: what the command came to; None before its end, and for starts.
    """

    command: BotCommand
    state: CommandReceiptState
    reason: str
    attempts: int
    begun_at: datetime | None
    finished_at: datetime | None
    result: dict[str, Any] | None = None

    @property
    def is_incomplete(self) -> bool:
        """Whether something that was to be cancelled or sold was not, or the end of an order is not proved."""
        return self.result is not None and self.result["outcome"] in INCOMPLETE


def command_receipt_list(*, bot_id: UUID, user_id: UUID) -> QuerySet[BotCommand]:
    """The commands of a bot, for pagination. Raises BotNotFound."""
    return BotCommand.objects.filter(bot=bot_get(bot_id=bot_id, user_id=user_id))


def account_command_list(
    *, user_id: UUID, kind: CommandKind | None = None, since: datetime | None = None, until: datetime | None = None
) -> QuerySet[BotCommand]:
    """The commands of all bots of a user, for pagination; those of deleted bots are left out."""
    given = {"kind": kind, "requested_at__gte": since, "requested_at__lt": until}
    filters = {name: value for name, value in given.items() if value is not None}
    return BotCommand.objects.select_related("bot").filter(bot__user_id=user_id, bot__deleted_at=None, **filters)


def command_receipt_get(*, bot_id: UUID, command_id: UUID, user_id: UUID, now: datetime) -> CommandReceipt:
    """Raises CommandNotFound. Includes commands of deleted bots."""
    command = BotCommand.objects.filter(id=command_id, bot_id=bot_id, bot__user_id=user_id).first()
    if command is None:
        raise CommandNotFound("There is no such command.")
    return command_receipt_of(command, now=now)


def command_receipt_of(command: BotCommand, *, now: datetime) -> CommandReceipt:
    return command_receipts_of([command], now=now)[0]


def command_receipts_of(commands: Sequence[BotCommand], *, now: datetime) -> list[CommandReceipt]:
    """The receipts, in the given order. Two queries for any number of commands."""
    ids = [command.id for command in commands]
    waiting = undispatched_ids(command_ids=ids)
    executions = command_executions_by_id(command_ids=ids)
    receipts = []
    for command in commands:
        execution = executions.get(command.id)
        if execution is not None:
            receipts.append(
                CommandReceipt(
                    command=command,
                    state=_OF_EXECUTION[State(execution.state)],
                    reason=_reason(execution),
                    attempts=execution.attempts,
                    begun_at=execution.first_delivered_at,
                    finished_at=execution.finished_at,
                    result=execution.result,
                )
            )
            continue
        state, reason, finished_at = CommandReceiptState.DELIVERED, "", None
        if command.expires_at <= now:
            state, reason, finished_at = CommandReceiptState.DROPPED, "It ran out of time.", command.expires_at
        elif command.id in waiting:
            state = CommandReceiptState.REQUESTED
        receipts.append(CommandReceipt(command, state, reason, attempts=0, begun_at=None, finished_at=finished_at))
    return receipts


def _reason(execution: CommandExecution) -> str:
    if execution.state != State.DONE:
        return execution.reason
    result = execution.result or {}
    return str(result.get("message", "")) if result.get("outcome") in INCOMPLETE else ""
