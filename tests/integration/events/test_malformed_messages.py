"""What none of our processes can have sent ends among the dead letters at first sight, and nothing else is harmed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command

from apps.events.brokers.rabbitmq.messages import Outgoing, outgoing_of, outgoing_wake_up
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.events.commands.dead_letters import queue as dead
from apps.events.consumers.dead_letters import Filters, RedriveOutcome
from apps.events.models import CommandExecution, InboxEntry
from apps.messages.base import Command
from apps.messages.bots import BotConfig, BotStarted, StartBot, StopBot, TickBot, TriggerTrade
from tests.support.envelopes import envelope_of
from tests.support.malformed import SHAPES, as_sent
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import eventually
from tests.support.workers.processes import Processes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUEUES: dict[str, type[Command]] = {"bot.start": StartBot, "bot.stop": StopBot, "bot.trigger_trade": TriggerTrade}


class Workers:
    """A router, and a worker of all queues with one child."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.router = processes.manage("run_retry_router")
        self.worker = processes.worker(",".join([*QUEUES, "bot.tick"]))

    def live(self) -> bool:
        return self.worker.poll() is None and self.router.poll() is None


@pytest.fixture(scope="module")
def lasting(
    tmp_path_factory: pytest.TempPathFactory, rabbitmq_vhost: RabbitMQ, django_db_setup: None
) -> Iterator[Workers]:
    processes = Processes(tmp_path_factory.mktemp("malformed"))
    yield Workers(processes)
    processes.kill_all()


@pytest.fixture
def workers(lasting: Workers, rabbitmq: RabbitMQ) -> Iterator[Workers]:
    """The same processes for every test: that they are still the same is what is tested."""
    yield lasting
    assert lasting.live(), lasting.processes.logs()


def command(kind: type[Command]) -> Any:
    values: dict[str, Any] = {"command_id": uuid4(), "bot_id": uuid4(), "user_id": uuid4(), "requested_at": NOW}
    values["expires_at"] = NOW + timedelta(days=3650)
    if kind is StartBot:
        values["config"] = BotConfig(
            name="a",
            mode="paper",
            credential_id=uuid4(),
            pair="BTC/USD",
            strategy="dca",
            parameters={},
            interval_minutes=60,
            quote_budget="10",
            version=1,
        )
    return kind.model_validate(values)


def outgoing(wanted: Any) -> Outgoing:
    return outgoing_of(envelope_of(wanted, wanted.command_id))


def send(*messages: Outgoing) -> None:
    publisher = ConfirmedPublisher("test")
    outcome = publisher.publish(messages)
    publisher.close()
    assert set(outcome.verdicts) == {Verdict.CONFIRMED}, outcome.error


@pytest.mark.parametrize("queue", QUEUES)
def test_malformed_commands_are_put_away_at_first_sight_stay_there_and_delay_no_good_one(
    workers: Workers, rabbitmq: RabbitMQ, queue: str
) -> None:
    malformed, good = ([command(QUEUES[queue]) for _ in SHAPES] for _ in range(2))
    dead_letters = f"{queue}.dlq"

    # Each shape has a good command behind it.
    bad = [as_sent(outgoing(each), shape) for each, shape in zip(malformed, SHAPES.values(), strict=True)]
    send(*(each for pair in zip(bad, map(outgoing, good), strict=True) for each in pair))

    done = CommandExecution.objects.filter(command_id__in=[each.command_id for each in good], state="done")
    eventually(lambda: done.count() == len(good), what="the good commands")
    eventually(lambda: rabbitmq.count(dead_letters) == len(malformed), seconds=30, what="the dead letters")
    letters = list(dead.find(dead_letters, Filters()))
    assert len({letter.letter_id for letter in letters}) == len(malformed), "one is there twice and another is not"
    assert [letter.letter_id for letter in letters if not letter.error or letter.attempts > 1] == []
    assert dead.show(dead_letters, letters[0].letter_id).error == letters[0].error
    said: list[str] = []
    outcome = dead.redrive(
        dead_letters, Filters(), rate=None, dry_run=False, operator="ann", progress=lambda _, words: said.append(words)
    )
    assert outcome == RedriveOutcome(failed=len(malformed), left=len(malformed))
    assert [words for words in said if not words.startswith("left: it can never be handled. ")] == []
    ran = {line["id"] for line in workers.processes.diary()}
    assert [shape for shape, each in zip(SHAPES, malformed, strict=True) if str(each.command_id) in ran] == []
    assert (rabbitmq.count(queue), rabbitmq.count(dead_letters)) == (0, len(malformed))
    assert rabbitmq.count("muckard.failures") == rabbitmq.count("muckard.failures.high") == 0
    assert dead.purge(dead_letters, Filters(), dry_run=False, operator="ann") == len(malformed)
    assert not CommandExecution.objects.filter(command_id__in=[each.command_id for each in malformed]).exists()
    assert not CommandExecution.objects.filter(aggregate_id__in=[each.bot_id for each in malformed]).exists()


def test_malformed_signals_are_dropped_and_good_ones_between_them_run(workers: Workers, rabbitmq: RabbitMQ) -> None:
    shapes = {name: shape for name, shape in SHAPES.items() if not name.startswith("argument: a bot")}
    bad, good = ([TickBot(bot_id=uuid4(), run_id=uuid4(), due_at=NOW) for _ in shapes] for _ in range(2))
    pairs = zip(bad, shapes.values(), good, strict=True)

    send(
        *(
            each
            for malformed, shape, sound in pairs
            for each in (
                as_sent(outgoing_wake_up(malformed, expires_seconds=300), shape),
                outgoing_wake_up(sound, expires_seconds=300),
            )
        )
    )

    def ran() -> set[str]:
        return {line["id"] for line in workers.processes.diary(what="tick")}

    eventually(lambda: {str(each.run_id) for each in good} <= ran(), what="the good ticks")
    eventually(lambda: rabbitmq.count("bot.tick") == 0, what="an empty queue")
    assert [shape for shape, each in zip(shapes, bad, strict=True) if str(each.run_id) in ran()] == []


@pytest.mark.parametrize("left_out", ["correlation_id", "reply_to", "message_id", "delivery_mode"])
def test_a_command_without_a_property_that_nobody_needs_is_done(
    workers: Workers, rabbitmq: RabbitMQ, left_out: str
) -> None:
    wanted = command(StopBot)
    message = outgoing(wanted)
    del message.message.properties[left_out]

    send(message)

    done = CommandExecution.objects.filter(command_id=wanted.command_id, state="done")
    eventually(done.exists, what="the command")


STATUS_SHAPES = [shape for shape in SHAPES if shape.startswith(("body", "wire", "header: a version", "no "))]


def test_malformed_news_is_put_away_and_good_news_is_handled(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    """Content types and Celery's headers mean nothing to news, which is no Celery task."""
    processes = Processes(tmp_path)
    news = [BotStarted(bot_id=uuid4(), user_id=uuid4(), run_id=uuid4(), config_version=1, started_at=NOW) for _ in "ab"]
    first, last = (outgoing_of(envelope_of(each, uuid4())) for each in news)
    try:
        router = processes.manage("run_retry_router")
        consumer = processes.manage("run_status_consumer", service="kraken")
        send(*(as_sent(first, SHAPES[shape]) for shape in STATUS_SHAPES), last)

        eventually(lambda: rabbitmq.count("bot.started.dlq") == len(STATUS_SHAPES), seconds=30, what="the dead letters")
        inbox = InboxEntry.objects.filter(event_id=UUID(last.message_id))
        eventually(inbox.exists, what="the good news")
        assert rabbitmq.count("bot.started") == 0
        assert (router.poll(), consumer.poll()) == (None, None)
        assert not InboxEntry.objects.filter(event_id=UUID(first.message_id)).exists()
        call_command("dead_letters", "redrive", "bot.started.dlq", "--operator", "ann")
        assert rabbitmq.count("bot.started.dlq") == len(STATUS_SHAPES)
    finally:
        processes.kill_all()


def test_dead_letters_of_any_shape_are_listed_shown_and_purged(
    rabbitmq: RabbitMQ, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes = list(SHAPES.values())
    # A few at a time: to show one, the queue is read from its beginning.
    for some in (shapes[start : start + 12] for start in range(0, len(shapes), 12)):
        stray = [as_sent(outgoing(command(StopBot)), shape) for shape in some]
        send(*(Outgoing(each.message_id, "muckard.dead", "bot.stop", each.message) for each in stray))

        call_command("dead_letters", "list", "bot.stop.dlq")
        for letter in list(dead.find("bot.stop.dlq", Filters())):
            call_command("dead_letters", "show", "bot.stop.dlq", letter.letter_id)
        call_command("dead_letters", "redrive", "bot.stop.dlq", "--operator", "ann")
        call_command("dead_letters", "purge", "bot.stop.dlq", "--yes", "--operator", "ann")

        said = capsys.readouterr().out
        assert f"{len(stray)} dead letters in bot.stop.dlq." in said
        assert f"0 redriven, {len(stray)} failed again, {len(stray)} left." in said
        assert f"{len(stray)} purged." in said
        assert rabbitmq.count("bot.stop.dlq") == rabbitmq.count("bot.stop") == 0
