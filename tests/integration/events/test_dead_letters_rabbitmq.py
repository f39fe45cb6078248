"""Dead letters of RabbitMQ: looked at in place, sent again without a second effect, thrown away on record."""

import json
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import amqp
import pytest
from django.core.management import call_command

from apps.events import commands
from apps.events.amqp_headers import headers_of
from apps.events.catalogue.bots import BotStarted, StopBot
from apps.events.commands import AttemptFailed, Executor
from apps.events.dead_letters import Filters, Letter, Outcome
from apps.events.dead_letters import rabbitmq as dead
from apps.events.dead_letters.hold import DeadLettersInUse
from apps.events.envelope import Envelope
from apps.events.models import CommandExecution, StoredEvent
from apps.events.rabbitmq import ConfirmedPublisher, Outgoing, outgoing_of
from tests.brokers import RabbitMQ, eventually
from tests.workers.processes import Processes

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DLQ = "bot.stop.dlq"


def envelope(message: Any, event_id: UUID) -> Envelope:
    return Envelope(
        event_id=event_id,
        event_type=message.declaration.name,
        schema_version=1,
        aggregate_type="bot",
        aggregate_id=message.aggregate_id,
        aggregate_seq=1,
        occurred_at=NOW,
        user_id=None,
        correlation_id=uuid4(),
        causation_id=None,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        payload=message.canonical_bytes(),
    )


def bury(
    message: Any, *, queue: str = "bot.stop", event_id: UUID | None = None, headers: dict[str, Any] | None = None
) -> None:
    """As the router does after the last attempt."""
    event_id = event_id or getattr(message, "command_id", None) or uuid4()
    sent = outgoing_of(envelope(message, event_id))
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


def redrive(source: str = DLQ, *, dry_run: bool = False, **filters: Any) -> tuple[Outcome, list[str]]:
    said: list[str] = []

    def progress(_: Letter, words: str) -> None:
        said.append(words)

    outcome = dead.redrive(source, Filters(**filters), rate=None, dry_run=dry_run, operator="ann", progress=progress)
    return outcome, said


@pytest.fixture
def handled() -> Iterator[list[UUID]]:
    """Commands whose effect has happened."""
    seen: list[UUID] = []
    before = dict(commands._executors)
    commands._executors["bot.stop", 1] = Executor(StopBot, lambda command, _: seen.append(command.command_id), None)
    yield seen
    commands._executors.clear()
    commands._executors.update(before)


def test_looking_leaves_every_letter_where_it_is_in_its_order(rabbitmq: RabbitMQ) -> None:
    buried = [stop_bot() for _ in range(5)]
    for command in buried:
        bury(command)

    for _ in range(3):
        assert [letter.event_id for letter in dead.letters(DLQ, Filters())] == [each.command_id for each in buried]
    shown = dead.show(DLQ, str(buried[2].command_id))

    assert (shown.key, shown.error, shown.attempts) == (buried[2].bot_id, "RuntimeError: boom", 5)
    assert json.loads(shown.content["body"])[1]["bot_id"] == str(buried[2].bot_id)
    assert dead.count(DLQ) == 5


def test_every_queue_of_work_has_its_source(rabbitmq: RabbitMQ) -> None:
    assert {"bot.start.dlq", "bot.error.dlq", "kraken.key.test.failed.dlq", "muckard.failures.dlq"} <= set(
        dead.sources()
    )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"error": "BOOM"}, [0, 1, 2]),
        ({"error": "other"}, [3]),
        ({"limit": 2}, [0, 1]),
        ({"since": NOW + timedelta(hours=1)}, [3]),
        ({"until": NOW + timedelta(hours=1)}, [0, 1, 2]),
        ({"event_type": "bot.start"}, []),
        ({"event_type": "bot.stop", "error": "boom", "limit": 1}, [0]),
    ],
)
def test_filters_choose_what_is_meant(rabbitmq: RabbitMQ, filters: Any, expected: list[int]) -> None:
    buried = [stop_bot() for _ in range(4)]
    for command in buried[:3]:
        bury(command)
    later = (NOW + timedelta(hours=2)).isoformat()
    bury(buried[3], headers={"x-dead-reason": "another one", "x-dead-at": later})

    found = [letter.event_id for letter in dead.letters(DLQ, Filters(**filters))]

    assert found == [buried[number].command_id for number in expected]


def test_a_redriven_command_has_all_its_attempts_again(rabbitmq: RabbitMQ, handled: list[UUID]) -> None:
    command = stop_bot()
    failed(command)
    bury(command)

    outcome, _ = redrive()

    assert outcome == Outcome(redriven=1)
    [message] = rabbitmq.take("bot.stop")
    headers = message.properties["application_headers"]
    assert headers["x-attempt"] == 1
    assert not {"x-dead-reason", "x-dead-at"} & set(headers)
    assert dead.count(DLQ) == 0
    row = CommandExecution.objects.get()
    assert (row.state, row.attempts, row.reason) == ("retrying", 0, "redriven by ann")
    assert commands.execute(command) == "done"
    assert CommandExecution.objects.get().fence == 6, "the fence must grow over a redrive"


def test_a_redriven_command_that_fails_again_fails_as_often(rabbitmq: RabbitMQ) -> None:
    def handle(*_: Any) -> None:
        raise RuntimeError("still")

    command = stop_bot()
    failed(command)
    bury(command)
    redrive()
    before = dict(commands._executors)
    commands._executors["bot.stop", 1] = Executor(StopBot, handle, None)
    try:
        for _ in range(5):
            with pytest.raises(AttemptFailed):
                commands.execute(command)
    finally:
        commands._executors.clear()
        commands._executors.update(before)
    row = CommandExecution.objects.get()
    assert (row.state, row.attempts) == ("failed", 5)


@pytest.mark.parametrize(
    ("state", "attempts", "words"),
    [
        ("done", 2, "dropped: the command is finished already"),
        ("dropped", 1, "dropped: the command is finished already"),
        ("running", 1, "dropped: the command is under way again"),
        ("retrying", 3, "dropped: the command is under way again"),
    ],
)
def test_a_command_that_is_no_longer_failed_is_not_sent_again(
    rabbitmq: RabbitMQ, state: str, attempts: int, words: str
) -> None:
    command = stop_bot()
    failed(command, state=state, attempts=attempts)
    bury(command)

    outcome, said = redrive()

    assert (outcome, said) == (Outcome(), [words])
    assert rabbitmq.count("bot.stop") == dead.count(DLQ) == 0
    assert CommandExecution.objects.get().state == state


def test_two_letters_of_one_command_have_one_effect(rabbitmq: RabbitMQ, handled: list[UUID]) -> None:
    command = stop_bot()
    failed(command)
    bury(command)
    bury(command)

    redrive()
    answers = [commands.execute(command) for _ in rabbitmq.take("bot.stop")]

    assert handled == [command.command_id]
    assert answers[0] == "done"


def test_a_redrive_that_ended_between_row_and_message_can_be_repeated(rabbitmq: RabbitMQ) -> None:
    command = stop_bot()
    failed(command, state="retrying", attempts=0, reason="redriven by ann")
    bury(command)

    assert redrive()[0] == Outcome(redriven=1)
    assert rabbitmq.count("bot.stop") == 1


def test_a_status_message_goes_back_to_its_own_queue_alone(rabbitmq: RabbitMQ) -> None:
    status = BotStarted(bot_id=uuid4(), user_id=uuid4(), run_id=uuid4(), config_version=1, started_at=NOW)
    event_id = uuid4()
    bury(status, queue="bot.started", event_id=event_id)

    assert redrive("bot.started.dlq")[0] == Outcome(redriven=1)

    [message] = rabbitmq.take("bot.started")
    assert message.body.encode() == status.canonical_bytes()
    assert message.properties["application_headers"]["cloudEvents_id"] == str(event_id)


def test_a_dry_run_changes_nothing(rabbitmq: RabbitMQ) -> None:
    command, finished = stop_bot(), stop_bot()
    failed(command)
    failed(finished, state="done")
    bury(command)
    bury(finished)

    outcome, said = redrive(dry_run=True)

    assert outcome == Outcome(redriven=1)
    assert said == ["would be sent", "would be dropped: the command is finished already"]
    assert (dead.count(DLQ), rabbitmq.count("bot.stop")) == (2, 0)
    assert CommandExecution.objects.get(command_id=command.command_id).state == "failed"
    assert StoredEvent.objects.count() == 0


def test_what_cannot_be_read_is_left_and_said(rabbitmq: RabbitMQ) -> None:
    publisher = ConfirmedPublisher("test")
    publisher.publish([Outgoing("", "muckard.dead", "bot.stop", amqp.Message(b"hello"))])
    publisher.close()

    why = "left: it can never be handled. It has no header 'task', so it is not a Celery task."
    assert redrive() == (Outcome(failed=1, left=1), [why])
    assert dead.count(DLQ) == 1


def test_a_redrive_and_a_purge_are_events(rabbitmq: RabbitMQ) -> None:
    for _ in range(3):
        command = stop_bot()
        failed(command)
        bury(command)

    redrive(limit=1)
    assert dead.purge(DLQ, Filters(error="boom"), dry_run=True, operator="ann") == 2
    assert dead.count(DLQ) == 2
    assert dead.purge(DLQ, Filters(error="boom"), dry_run=False, operator="ann") == 2

    assert dead.count(DLQ) == 0
    told = [(row.event_type, json.loads(bytes(row.payload))) for row in StoredEvent.objects.order_by("recorded_at")]
    assert [name for name, _ in told] == ["audit.dead_letters.redriven", "audit.dead_letters.purged"]
    assert [(fact["queue"], fact["messages"], fact["operator"]) for _, fact in told] == [
        (DLQ, 1, "ann"),
        (DLQ, 2, "ann"),
    ]
    assert told[1][1]["filters"] == {"error": "boom"}


def test_a_rate_is_kept(rabbitmq: RabbitMQ) -> None:
    import time

    for _ in range(6):
        command = stop_bot()
        failed(command)
        bury(command)
    began = time.monotonic()

    dead.redrive(DLQ, Filters(), rate=10, dry_run=False, operator="ann", progress=lambda *_: None)

    assert time.monotonic() - began >= 0.5


def test_the_command_lists_shows_and_redrives(rabbitmq: RabbitMQ, capsys: pytest.CaptureFixture[str]) -> None:
    command = stop_bot()
    failed(command)
    bury(command)

    call_command("dead_letters", "list")
    call_command("dead_letters", "list", DLQ, "--type", "bot.stop")
    call_command("dead_letters", "show", DLQ, str(command.command_id))
    call_command("dead_letters", "redrive", DLQ, "--operator", "ann")

    said = capsys.readouterr().out
    assert f"      1  {DLQ}" in said
    assert f"1 dead letters in {DLQ}." in said
    assert '"x-dead-reason": "RuntimeError: boom"' in said
    assert "1 redriven, 0 failed again, 0 left." in said
    assert headers_of(envelope(command, command.command_id))["cloudEvents_id"] in said


def bury_many(count: int) -> list[StopBot]:
    """A microsecond apart, and sent all at once."""
    buried = [stop_bot() for _ in range(count)]
    publisher = ConfirmedPublisher("test")
    messages = []
    for number, command in enumerate(buried):
        sent = outgoing_of(envelope(command, command.command_id))
        died_at = (NOW + timedelta(microseconds=number)).isoformat(timespec="microseconds")
        sent.message.properties["application_headers"] |= {"x-attempt": 5, "x-dead-reason": "b", "x-dead-at": died_at}
        messages.append(Outgoing(sent.message_id, "muckard.dead", "bot.stop", sent.message))
    assert publisher.publish(messages).error is None
    publisher.close()
    return buried


def ids(**filters: Any) -> list[UUID | None]:
    return [letter.event_id for letter in dead.letters(DLQ, Filters(**filters))]


def test_every_look_shows_the_same_order_and_a_limit_means_the_oldest(rabbitmq: RabbitMQ) -> None:
    buried = [command.command_id for command in bury_many(200)]

    for _ in range(3):
        assert ids() == buried
        assert ids(limit=2) == buried[:2]
        assert ids(event_type="bot.stop", limit=50) == buried[:50]
        dead.show(DLQ, str(buried[150]))
    assert ids(since=NOW + timedelta(microseconds=190)) == buried[190:]
    assert dead.count(DLQ) == 200


def test_looking_leaves_the_queue_itself_in_order(rabbitmq: RabbitMQ) -> None:
    buried = [str(command.command_id) for command in bury_many(200)]
    assert len(ids(limit=3)) == 3

    assert [message.properties["message_id"] for message in rabbitmq.take(DLQ)] == buried


def test_letters_that_died_at_the_same_moment_keep_their_place_too(rabbitmq: RabbitMQ) -> None:
    buried = [stop_bot() for _ in range(100)]
    for command in buried:
        bury(command)

    for _ in range(3):
        assert ids() == [command.command_id for command in buried]


def test_a_redrive_takes_the_oldest_that_fit_and_sends_them_in_order(rabbitmq: RabbitMQ) -> None:
    buried = [command.command_id for command in bury_many(100)]

    assert redrive(limit=40)[0] == Outcome(redriven=40)
    assert redrive(since=NOW + timedelta(microseconds=90), limit=3)[0] == Outcome(redriven=3)

    sent = [UUID(message.properties["message_id"]) for message in rabbitmq.take("bot.stop")]
    assert sent == buried[:40] + buried[90:93]
    assert ids() == buried[40:90] + buried[93:]


def test_a_purge_takes_the_oldest_for_good(rabbitmq: RabbitMQ) -> None:
    buried = [command.command_id for command in bury_many(100)]

    assert dead.purge(DLQ, Filters(limit=60), dry_run=False, operator="ann") == 60

    assert ids() == buried[60:]
    assert dead.purge(DLQ, Filters(), dry_run=False, operator="ann") == 40
    assert dead.count(DLQ) == 0
    assert ids() == []


def test_a_look_that_is_killed_leaves_every_letter_and_the_order_shown(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    buried = [command.command_id for command in bury_many(300)]
    processes = Processes(tmp_path)
    try:
        for _ in range(3):
            looking = processes.manage(
                f"dead_letters redrive {DLQ} --dry-run --operator ann --rate 20", until="would be"
            )
            looking.send_signal(signal.SIGKILL)
            looking.wait()
            eventually(lambda: rabbitmq.count(DLQ) == 300, what="all letters back")
            assert ids() == buried
    finally:
        processes.kill_all()


def test_a_second_process_waits_for_the_first_and_sees_everything(
    rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    buried = [command.command_id for command in bury_many(50)]
    seen: list[list[UUID | None]] = []
    first = dead.letters(DLQ, Filters())
    next(first)
    second = threading.Thread(target=lambda: seen.append(ids()))
    second.start()

    assert [letter.event_id for letter in first] == buried[1:]

    second.join(20)
    assert seen == [buried]


def test_a_second_process_is_told_that_the_letters_are_in_another_ones_hands(
    rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.events.dead_letters.hold.WAIT_SECONDS", 0.5)
    bury_many(5)
    first: Any = dead.letters(DLQ, Filters())
    next(first)

    with pytest.raises(DeadLettersInUse, match=r"Another process has the dead letters of bot\.stop\.dlq in hand"):
        ids()

    first.close()
    assert len(ids()) == 5


def test_a_redrive_of_many_minutes_gives_back_in_between_and_takes_no_letter_twice(
    rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ closes the channel of a client that holds a message for half an hour."""
    monkeypatch.setattr("apps.events.dead_letters.rabbitmq.HOLD_SECONDS", 0.0)
    buried = [command.command_id for command in bury_many(6)]
    said: list[UUID | None] = []

    def die_again(letter: Letter, words: str) -> None:
        said.append(letter.event_id)
        [again] = rabbitmq.take("bot.stop")
        again.properties["application_headers"]["x-dead-at"] = datetime.now(UTC).isoformat()
        with rabbitmq.channel() as channel:
            channel.basic_publish(again, exchange="muckard.dead", routing_key="bot.stop")

    outcome = dead.redrive(DLQ, Filters(), rate=None, dry_run=False, operator="ann", progress=die_again)

    assert outcome == Outcome(redriven=6)
    assert said == buried
    assert dead.count(DLQ) == 6


def test_a_slow_redrive_keeps_its_connections(rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ ends a connection that is silent for two heartbeats."""
    monkeypatch.setattr("apps.events.rabbitmq.connection.HEARTBEAT_SECONDS", 1)
    bury_many(2)

    outcome = dead.redrive(DLQ, Filters(), rate=0.2, dry_run=False, operator="ann", progress=lambda *_: None)

    assert outcome == Outcome(redriven=2)
    assert (dead.count(DLQ), rabbitmq.count("bot.stop")) == (0, 2)
