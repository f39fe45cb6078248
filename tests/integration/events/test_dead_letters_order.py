"""Dead letters keep the order of their deaths, however they are looked at and however a look ends."""

import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from apps.events.commands.dead_letters import queue as dead
from apps.events.commands.dead_letters.locked_queue import DeadLettersInUse
from apps.events.consumers.dead_letters import DeadLetter, Filters, RedriveOutcome
from tests.support.dead_letters import DLQ, NOW, bury, bury_many, redrive, stop_bot
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import eventually
from tests.support.workers.processes import Processes

pytestmark = pytest.mark.django_db(transaction=True)


def ids(**filters: Any) -> list[UUID | None]:
    return [letter.event_id for letter in dead.find(DLQ, Filters(**filters))]


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

    assert redrive(limit=40)[0] == RedriveOutcome(redriven=40)
    assert redrive(since=NOW + timedelta(microseconds=90), limit=3)[0] == RedriveOutcome(redriven=3)

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
    first = dead.find(DLQ, Filters())
    next(first)
    second = threading.Thread(target=lambda: seen.append(ids()))
    second.start()

    assert [letter.event_id for letter in first] == buried[1:]

    second.join(20)
    assert seen == [buried]


def test_a_second_process_is_told_that_the_letters_are_in_another_ones_hands(
    rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.events.commands.dead_letters.locked_queue.WAIT_SECONDS", 0.5)
    bury_many(5)
    first: Any = dead.find(DLQ, Filters())
    next(first)

    with pytest.raises(DeadLettersInUse, match=r"Another process has the dead letters of bot\.stop\.dlq in hand"):
        ids()

    first.close()
    assert len(ids()) == 5


def test_a_redrive_of_many_minutes_gives_back_in_between_and_takes_no_letter_twice(
    rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ closes the channel of a client that holds a message for half an hour."""
    monkeypatch.setattr("apps.events.commands.dead_letters.queue.LOCK_SECONDS", 0.0)
    buried = [command.command_id for command in bury_many(6)]
    said: list[UUID | None] = []

    def die_again(letter: DeadLetter, words: str) -> None:
        said.append(letter.event_id)
        [again] = rabbitmq.take("bot.stop")
        again.properties["application_headers"]["x-dead-at"] = datetime.now(UTC).isoformat()
        with rabbitmq.channel() as channel:
            channel.basic_publish(again, exchange="muckard.dead", routing_key="bot.stop")

    outcome = dead.redrive(DLQ, Filters(), rate=None, dry_run=False, operator="ann", progress=die_again)

    assert outcome == RedriveOutcome(redriven=6)
    assert said == buried
    assert dead.count(DLQ) == 6


def test_a_slow_redrive_keeps_its_connections(rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ ends a connection that is silent for two heartbeats."""
    monkeypatch.setattr("apps.events.brokers.rabbitmq.connection.HEARTBEAT_SECONDS", 1)
    bury_many(2)

    outcome = dead.redrive(DLQ, Filters(), rate=0.2, dry_run=False, operator="ann", progress=lambda *_: None)

    assert outcome == RedriveOutcome(redriven=2)
    assert (dead.count(DLQ), rabbitmq.count("bot.stop")) == (0, 2)
