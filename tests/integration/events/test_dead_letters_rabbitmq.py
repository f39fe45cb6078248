"""Dead letters of RabbitMQ: looked at in place, sent again without a second effect, thrown away on record."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import amqp
import pytest
from django.core.management import call_command

from apps.events.brokers.rabbitmq.headers import headers_of
from apps.events.brokers.rabbitmq.messages import Outgoing
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher
from apps.events.commands import registry
from apps.events.commands.dead_letters import queue as dead
from apps.events.commands.delivery import AttemptFailed
from apps.events.commands.runner import Executor
from apps.events.consumers.dead_letters import Filters, RedriveOutcome
from apps.events.models import CommandExecution, StoredEvent
from apps.messages.bots import BotStarted, StopBot
from tests.support.dead_letters import DLQ, NOW, bury, failed, redrive, stop_bot
from tests.support.envelopes import envelope_of
from tests.support.rabbitmq import RabbitMQ

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def handled() -> Iterator[list[UUID]]:
    """Commands whose effect has happened."""
    seen: list[UUID] = []
    before = dict(registry._executors)
    registry._executors["bot.stop", 1] = Executor(StopBot, lambda command, _: seen.append(command.command_id), None)
    yield seen
    registry._executors.clear()
    registry._executors.update(before)


def test_looking_leaves_every_letter_where_it_is_in_its_order(rabbitmq: RabbitMQ) -> None:
    buried = [stop_bot() for _ in range(5)]
    for command in buried:
        bury(command)

    for _ in range(3):
        assert [letter.event_id for letter in dead.find(DLQ, Filters())] == [each.command_id for each in buried]
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

    found = [letter.event_id for letter in dead.find(DLQ, Filters(**filters))]

    assert found == [buried[number].command_id for number in expected]


def test_a_redriven_command_has_all_its_attempts_again(rabbitmq: RabbitMQ, handled: list[UUID]) -> None:
    command = stop_bot()
    failed(command)
    bury(command)

    outcome, _ = redrive()

    assert outcome == RedriveOutcome(redriven=1)
    [message] = rabbitmq.take("bot.stop")
    headers = message.properties["application_headers"]
    assert headers["x-attempt"] == 1
    assert not {"x-dead-reason", "x-dead-at"} & set(headers)
    assert dead.count(DLQ) == 0
    row = CommandExecution.objects.get()
    assert (row.state, row.attempts, row.reason) == ("retrying", 0, "redriven by ann")
    assert registry.execute(command) == "done"
    assert CommandExecution.objects.get().fence == 6, "the fence must grow over a redrive"


def test_a_redriven_command_that_fails_again_fails_as_often(rabbitmq: RabbitMQ) -> None:
    def handle(*_: Any) -> None:
        raise RuntimeError("still")

    command = stop_bot()
    failed(command)
    bury(command)
    redrive()
    before = dict(registry._executors)
    registry._executors["bot.stop", 1] = Executor(StopBot, handle, None)
    try:
        for _ in range(5):
            with pytest.raises(AttemptFailed):
                registry.execute(command)
    finally:
        registry._executors.clear()
        registry._executors.update(before)
    row = CommandExecution.objects.get()
    assert (row.state, row.attempts) == ("failed", 5)


@pytest.mark.parametrize(
    ("state", "attempts", "words"),
    [
        ("done", 2, "dropped: the command is finished already"),
        ("dropped", 1, "dropped: the command is finished already"),
        ("running", 1, "dropped: the command is in progress again"),
        ("retrying", 3, "dropped: the command is in progress again"),
    ],
)
def test_a_command_that_is_no_longer_failed_is_not_sent_again(
    rabbitmq: RabbitMQ, state: str, attempts: int, words: str
) -> None:
    command = stop_bot()
    failed(command, state=state, attempts=attempts)
    bury(command)

    outcome, said = redrive()

    assert (outcome, said) == (RedriveOutcome(), [words])
    assert rabbitmq.count("bot.stop") == dead.count(DLQ) == 0
    assert CommandExecution.objects.get().state == state


def test_two_letters_of_one_command_have_one_effect(rabbitmq: RabbitMQ, handled: list[UUID]) -> None:
    command = stop_bot()
    failed(command)
    bury(command)
    bury(command)

    redrive()
    answers = [registry.execute(command) for _ in rabbitmq.take("bot.stop")]

    assert handled == [command.command_id]
    assert answers[0] == "done"


def test_a_redrive_that_ended_between_row_and_message_can_be_repeated(rabbitmq: RabbitMQ) -> None:
    command = stop_bot()
    failed(command, state="retrying", attempts=0, reason="redriven by ann")
    bury(command)

    assert redrive()[0] == RedriveOutcome(redriven=1)
    assert rabbitmq.count("bot.stop") == 1


def test_a_status_message_goes_back_to_its_own_queue_alone(rabbitmq: RabbitMQ) -> None:
    status = BotStarted(bot_id=uuid4(), user_id=uuid4(), run_id=uuid4(), config_version=1, started_at=NOW)
    event_id = uuid4()
    bury(status, queue="bot.started", event_id=event_id)

    assert redrive("bot.started.dlq")[0] == RedriveOutcome(redriven=1)

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

    assert outcome == RedriveOutcome(redriven=1)
    assert said == ["would be sent", "would be dropped: the command is finished already"]
    assert (dead.count(DLQ), rabbitmq.count("bot.stop")) == (2, 0)
    assert CommandExecution.objects.get(command_id=command.command_id).state == "failed"
    assert StoredEvent.objects.count() == 0


def test_what_cannot_be_read_is_left_and_said(rabbitmq: RabbitMQ) -> None:
    publisher = ConfirmedPublisher("test")
    publisher.publish([Outgoing("", "muckard.dead", "bot.stop", amqp.Message(b"hello"))])
    publisher.close()

    why = "left: it can never be handled. It has no header 'task', so it is not a Celery task."
    assert redrive() == (RedriveOutcome(failed=1, left=1), [why])
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
    assert headers_of(envelope_of(command, command.command_id))["cloudEvents_id"] in said
