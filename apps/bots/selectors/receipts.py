"""How far a command got."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet, TextChoices

from apps.bots.errors import CommandNotFound
from apps.bots.models import BotCommand
from apps.bots.selectors.bots import bot_get
from apps.events.commands.executions import State
from apps.events.store.selectors import command_executions_by_id, undispatched_ids


class ReceiptState(TextChoices):
    """`requested`: recorded; `delivered`: the broker has it; the last three are final."""

    REQUESTED = "requested"
    DELIVERED = "delivered"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"


_OF_EXECUTION = {
    State.RUNNING: ReceiptState.RUNNING,
    State.RETRYING: ReceiptState.RUNNING,
    State.DONE: ReceiptState.DONE,
    State.FAILED: ReceiptState.FAILED,
    State.DROPPED: ReceiptState.DROPPED,
}


@dataclass(frozen=True)
class Receipt:
    """`reason`: why it failed or was dropped, or what the last attempt ran into. `begun_at`: the first attempt."""

    command: BotCommand
    state: ReceiptState
    reason: str
    attempts: int
    begun_at: datetime | None
    finished_at: datetime | None


def receipt_list(*, bot_id: UUID, user_id: UUID) -> QuerySet[BotCommand]:
    """The commands of a bot, to be paged. Raises BotNotFound."""
    return BotCommand.objects.filter(bot=bot_get(bot_id=bot_id, user_id=user_id))


def receipt_get(*, bot_id: UUID, command_id: UUID, user_id: UUID, now: datetime) -> Receipt:
    """Raises CommandNotFound. Commands of deleted bots can still be asked for."""
    command = BotCommand.objects.filter(id=command_id, bot_id=bot_id, bot__user_id=user_id).first()
    if command is None:
        raise CommandNotFound("There is no such command.")
    return receipt_of(command, now=now)


def receipt_of(command: BotCommand, *, now: datetime) -> Receipt:
    return receipts_of([command], now=now)[0]


def receipts_of(commands: Sequence[BotCommand], *, now: datetime) -> list[Receipt]:
    """The receipts, in the given order; two queries however many they are."""
    ids = [command.id for command in commands]
    waiting = undispatched_ids(command_ids=ids)
    executions = command_executions_by_id(command_ids=ids)
    receipts = []
    for command in commands:
        execution = executions.get(command.id)
        if execution is not None:
            receipts.append(
                Receipt(
                    command=command,
                    state=_OF_EXECUTION[State(execution.state)],
                    reason=execution.reason if execution.state != State.DONE else "",
                    attempts=execution.attempts,
                    begun_at=execution.first_delivered_at,
                    finished_at=execution.finished_at,
                )
            )
            continue
        state, reason, finished_at = ReceiptState.DELIVERED, "", None
        if command.expires_at <= now:
            state, reason, finished_at = ReceiptState.DROPPED, "It ran out of time.", command.expires_at
        elif command.id in waiting:
            state = ReceiptState.REQUESTED
        receipts.append(Receipt(command, state, reason, attempts=0, begun_at=None, finished_at=finished_at))
    return receipts
