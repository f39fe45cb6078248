"""Relay and dispatcher are down if messages wait and none is sent, and up while they are idle, slow or parked."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from apps.events.models import OutboxRow, ParkedKey, ProcessHeartbeat
from apps.events.outbox.dispatcher import dispatcher as dispatcher_module
from apps.events.outbox.progress import _OLDEST
from apps.events.outbox.relay import query
from apps.events.outbox.relay.relay import Relay
from apps.events.outbox.rows import prepare_session
from apps.events.process import heartbeats
from apps.messages.bots import TriggerTrade
from apps.ops import health
from tests.support.dispatching import drain_outbox, fills_up, order
from tests.support.kafka import fill_outbox, outbox_count, topic_of_its_own
from tests.support.rabbitmq import RabbitMQ, rabbitmq_rows
from tests.support.relaying import another_session, drive, manage
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_SECONDS = 1.0


@pytest.fixture(autouse=True)
def _short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.events.process.progress.LIMIT_SECONDS", LIMIT_SECONDS)
    monkeypatch.setattr(heartbeats, "SECONDS_BETWEEN_BEATS", 0.0)
    heartbeats._written.clear()


@pytest.fixture
def topic() -> Iterator[str]:
    with topic_of_its_own() as name:
        yield name


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Relay]]:
    monkeypatch.setattr("apps.events.outbox.sender.SECONDS_BETWEEN_CHORES", 0.1)
    made: list[Relay] = []

    def make(**options: Any) -> Relay:
        made.append(Relay(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def beat_of(name: str) -> ProcessHeartbeat | None:
    return ProcessHeartbeat.objects.filter(name=name).first()


def is_down(name: str) -> bool:
    return ProcessHeartbeat.objects.filter(name=name, state="down").exists()


def is_up(name: str) -> bool:
    return ProcessHeartbeat.objects.filter(name=name, state="up").exists()


def stays_up(name: str, step: Callable[[], Any], *, until: Callable[[], bool]) -> None:
    """Steps until the condition holds, and for longer than the limit; at no time may the heartbeat say down."""
    began = time.monotonic()
    while not until() or time.monotonic() - began < 3 * LIMIT_SECONDS:
        step()
        assert not is_down(name), beat_of(name)
        assert time.monotonic() - began < 30
    assert is_up(name)


def test_a_relay_that_sends_nothing_is_down_until_it_sends(
    relay: Any, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_outbox(topic, [uuid4()], 5)
    running_relay = relay()
    with monkeypatch.context() as frozen:
        frozen.setattr(Relay, "_send_part", lambda self: False)
        drive(running_relay, until=lambda: is_down("relay"), seconds=15)
    beat = ProcessHeartbeat.objects.get(name="relay")
    assert beat.detail.startswith("No message was sent for 1 s; waiting: 5. The oldest has waited ")
    assert "see the relay's log" in beat.detail

    drive(running_relay, until=lambda: outbox_count(topic) == 0, seconds=15)
    drive(running_relay, until=lambda: is_up("relay"), seconds=5)


def test_a_row_that_is_passed_over_while_others_leave_is_noticed(
    relay: Any, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_outbox(topic, [uuid4()], 1)
    first = OutboxRow.objects.get(destination=topic).id
    fetch = query.next_records
    monkeypatch.setattr(query, "next_records", lambda spec: [each for each in fetch(spec) if each.row_id != first])
    running_relay = relay()

    def is_down_although_others_leave() -> bool:
        fill_outbox(topic, [uuid4()], 1)
        return is_down("relay")

    drive(running_relay, until=is_down_although_others_leave, seconds=15)
    drive(running_relay, until=lambda: outbox_count(topic) == 1, seconds=15)


def test_an_idle_relay_is_up(relay: Any, topic: str) -> None:
    idle = relay()
    stays_up("relay", idle.step, until=lambda: True)


def test_a_slow_relay_is_up_while_its_backlog_grows(relay: Any, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_outbox(topic, [uuid4() for _ in range(4)], 8)
    send_part = Relay._send_part
    slow = relay(batch_rows=2)
    began = time.monotonic()

    def send_one_in_a_while(self: Relay) -> bool:
        if self._window or time.monotonic() - self._busy_at < LIMIT_SECONDS / 2:
            return False
        return send_part(self)

    monkeypatch.setattr(Relay, "_send_part", send_one_in_a_while)
    stays_up("relay", slow.step, until=lambda: outbox_count(topic) == 0)
    assert time.monotonic() - began > 3 * LIMIT_SECONDS


def test_what_is_parked_is_told_and_is_no_stall(relay: Any, topic: str) -> None:
    key = uuid4()
    fill_outbox(topic, [key], 3)
    ParkedKey.objects.create(
        transport="kafka", key=key, event_id=uuid4(), event_type="x", reason="x", parked_at=timezone.now()
    )
    parked = relay()
    stays_up("relay", parked.step, until=lambda: True)
    assert ProcessHeartbeat.objects.get(name="relay").detail.startswith("1 keys are parked")
    assert outbox_count(topic) == 3


def test_a_relay_that_hangs_in_a_lock_falls_silent_and_health_says_so(
    topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "SILENT_AFTER", timedelta(seconds=3))

    def state_of_relay() -> tuple[str, str]:
        _, body = health.readiness(now=timezone.now())
        return next(
            ((each["state"], each["detail"]) for each in body["dependencies"] if each["name"] == "relay"), ("", "")
        )

    fill_outbox(topic, [uuid4()], 50)
    with another_session() as session:
        with session.cursor() as cursor:
            cursor.execute("SELECT id FROM events.outbox FOR UPDATE")
        with manage("run_relay"):
            eventually(lambda: state_of_relay()[1].startswith("Silent for"), what="the news that it hangs")
            assert state_of_relay()[0] == "down"
            session.rollback()
            eventually(lambda: state_of_relay()[0] == "up", what="the relay again")
            eventually(lambda: outbox_count(topic) == 0, what="an empty outbox")


def test_a_dispatcher_that_sends_nothing_is_down_until_it_sends(
    running: Any, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(uuid4())
    with monkeypatch.context() as frozen:
        frozen.setattr(running, "_fetch", lambda spec: [])
        eventually(lambda: running.step() is not None and is_down("dispatcher"), what="the news of it")
    beat = ProcessHeartbeat.objects.get(name="dispatcher")
    assert beat.detail.startswith("No message was sent for 1 s; waiting: 1. The oldest has waited ")
    assert beat.detail.endswith(dispatcher_module.ADVICE)

    drain_outbox(running)
    eventually(lambda: running.step() is not None and is_up("dispatcher"), what="the news of its recovery")


def test_a_queue_that_takes_nothing_for_the_limit_is_named(running: Any, rabbitmq: RabbitMQ) -> None:
    with rabbitmq.full("bot.stop"):
        eventually(lambda: fills_up(rabbitmq, "bot.stop"), what="a queue that refuses")
        order(uuid4())
        order(uuid4(), command=TriggerTrade)
        eventually(lambda: running.step() is not None and is_down("dispatcher"), what="the news of it")
        assert ProcessHeartbeat.objects.get(name="dispatcher").detail.endswith("bot.stop: The queue is full.")
        assert rabbitmq.count("bot.trigger_trade") == 1

    rabbitmq.take("bot.stop")
    drain_outbox(running)
    eventually(lambda: running.step() is not None and is_up("dispatcher"), what="the news of its recovery")


def test_an_idle_dispatcher_is_up(running: Any, rabbitmq: RabbitMQ) -> None:
    stays_up("rabbitmq", running.step, until=lambda: not rabbitmq_rows().exists())


def test_the_look_at_the_oldest_row_reads_the_index_and_no_more() -> None:
    """The query runs once a second, also on a long outbox."""
    prepare_session()
    for transport in ("kafka", "rabbitmq"):
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + _OLDEST.format(transport=transport), [0, list(range(64))])
            plan = "\n".join(line for (line,) in cursor.fetchall())
        # Which of the indexes, the planner decides by statistics that other tests leave.
        assert "Index" in plan, plan
        assert "Seq Scan" not in plan, plan
        assert "Sort" not in plan, plan
