"""Dead letters as the router leaves them, for the tests of looking at them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from apps.events.brokers.rabbitmq.messages import Outgoing, outgoing_of
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher
from apps.events.commands.dead_letters import queue as dead
from apps.events.consumers.dead_letters import DeadLetter, Filters, RedriveOutcome
from apps.events.models import CommandExecution
from apps.messages.bots import StopBot
from tests.support.envelopes import envelope_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DLQ = "bot.stop.dlq"


def bury(
    message: Any, *, queue: str = "bot.stop", event_id: UUID | None = None, headers: dict[str, Any] | None = None
) -> None:
    """As the router does after the last attempt."""
    event_id = event_id or getattr(message, "command_id", None) or uuid4()
    sent = outgoing_of(envelope_of(message, event_id))
    more = {"x-attempt": 5, "x-dead-reason": "RuntimeError: boom", "x-dead-at": NOW.isoformat()} | (headers or {})
    sent.message.properties["application_headers"] |= more
    publisher = ConfirmedPublisher("test")
    outcome = publisher.publish([Outgoing(sent.message_id, "muckard.dead", queue, sent.message)])
    publisher.close()
    assert outcome.error is None


def stop_bot(**fields: Any) -> StopBot:
    expires_at = NOW + timedelta(days=3650)
    values = {"command_id": uuid4(), "bot_id": uuid4(), "user_id": uuid4(), "requested_at": NOW}
    return StopBot.model_validate(values | {"expires_at": expires_at} | fields)


def failed(command: StopBot, **fields: Any) -> CommandExecution:
    values = {"name": "bot.stop", "state": "failed", "attempts": 5, "fence": 5, "first_delivered_at": NOW}
    return CommandExecution.objects.create(
        command_id=command.command_id, aggregate_id=command.bot_id, **(values | fields)
    )


def redrive(source: str = DLQ, *, dry_run: bool = False, **filters: Any) -> tuple[RedriveOutcome, list[str]]:
    said: list[str] = []

    def progress(_: DeadLetter, words: str) -> None:
        said.append(words)

    outcome = dead.redrive(source, Filters(**filters), rate=None, dry_run=dry_run, operator="ann", progress=progress)
    return outcome, said


def bury_many(count: int) -> list[StopBot]:
    """A microsecond apart, and sent all at once."""
    buried = [stop_bot() for _ in range(count)]
    publisher = ConfirmedPublisher("test")
    messages = []
    for number, command in enumerate(buried):
        sent = outgoing_of(envelope_of(command, command.command_id))
        died_at = (NOW + timedelta(microseconds=number)).isoformat(timespec="microseconds")
        sent.message.properties["application_headers"] |= {"x-attempt": 5, "x-dead-reason": "b", "x-dead-at": died_at}
        messages.append(Outgoing(sent.message_id, "muckard.dead", "bot.stop", sent.message))
    assert publisher.publish(messages).error is None
    publisher.close()
    return buried
