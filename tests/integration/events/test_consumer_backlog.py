"""Backlogs far above a poll and a batch: every partition is read to its end, whatever happens in the middle.

The tests read one backlog, each with a group of its own. A fetch takes a quarter of what it takes by default, so that a
quarter of the events makes as many polls.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from kafka import TopicPartition
from pytest_django import DjangoDbBlocker

from apps.events.brokers.kafka import consumer as kafka_consumer
from apps.events.consumers import group, partition, registry, retry_policy
from apps.events.consumers.group import GroupConsumer
from apps.events.consumers.registry import consumes_batch
from apps.events.models import DeadLetter, InboxEntry, ProcessHeartbeat
from apps.events.process import progress
from apps.messages.envelope import Envelope
from apps.messages.user import UserUpdated
from tests.support.consumers import Listener, consuming, drive_consumers
from tests.support.kafka import everything_in, fill_outbox, topic_of_its_own
from tests.support.relaying import drain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

KEYS = 30
EVENTS = 4_500
PER_KEY = EVENTS // KEYS
FEW, MORE = 300, 900
SECONDS = 200.0


@dataclass(frozen=True)
class Backlog:
    topic: str
    keys: list[UUID]

    def add(self, events: int) -> None:
        fill_outbox(self.topic, self.keys, events)
        drain(self.topic)


@pytest.fixture(autouse=True)
def _short_pauses_and_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "RETRY_DELAYS_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(partition, "HALT_SECONDS", 0.3)
    monkeypatch.setattr(kafka_consumer, "PARTITION_FETCH_BYTES", kafka_consumer.PARTITION_FETCH_BYTES // 4)


@pytest.fixture(scope="module")
def backlog(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Backlog]:
    """About 1 500 events in each of three partitions. They lie in Kafka: tests may empty the database."""
    keys = [uuid4() for _ in range(KEYS)]
    with topic_of_its_own() as topic:
        made = Backlog(topic, keys)
        with django_db_blocker.unblock():
            made.add(EVENTS)
        yield made


@pytest.fixture
def growing(seen: None) -> Iterator[Backlog]:
    """A few events in a topic of the test's own, which adds to them."""
    with topic_of_its_own() as topic:
        made = Backlog(topic, [uuid4() for _ in range(KEYS)])
        made.add(FEW)
        yield made


@pytest.fixture
def topic(backlog: Backlog) -> str:
    return backlog.topic


@pytest.fixture
def keys(backlog: Backlog, seen: None) -> list[UUID]:
    return backlog.keys


@pytest.fixture
def batch_listener(listener: Listener) -> Listener:
    """As `listener`, and its handler takes many events at once."""
    registry._registered.pop(listener.group)

    def handle(batch: Sequence[tuple[UserUpdated, Envelope]]) -> None:
        for message, envelope in batch:
            listener.handle(message, envelope)

    consumes_batch(UserUpdated, group=listener.group)(handle)
    return listener


def _handled(listener: Listener) -> int:
    return InboxEntry.objects.filter(consumer=listener.group).count()


def _each_once_in_order(listener: Listener, keys: Sequence[UUID]) -> bool:
    return all(listener.effects(key) == list(range(1, PER_KEY + 1)) for key in keys)


def test_a_backlog_of_thousands_in_every_partition_is_read_to_its_end(
    topic: str, keys: list[UUID], listener: Listener
) -> None:
    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: len(listener.calls) >= EVENTS, seconds=SECONDS)

    assert _each_once_in_order(listener, keys)
    assert len(listener.calls) == EVENTS


def test_a_batch_handler_gets_a_backlog_once_and_in_order(
    topic: str, keys: list[UUID], batch_listener: Listener
) -> None:
    with consuming(batch_listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: len(batch_listener.calls) >= EVENTS, seconds=SECONDS)

    assert _each_once_in_order(batch_listener, keys)
    assert _handled(batch_listener) == EVENTS


def test_one_event_that_fails_in_a_batch_costs_its_own_key_and_no_other(
    topic: str, keys: list[UUID], batch_listener: Listener
) -> None:
    sick, *healthy = keys
    batch_listener.fails = lambda envelope: (
        ValueError("it never works") if (envelope.aggregate_id, envelope.aggregate_seq) == (sick, 100) else None
    )

    with consuming(batch_listener.group, topic) as consumer:
        drive_consumers(
            consumer,
            until=lambda: (
                _handled(batch_listener) == EVENTS - (PER_KEY - 99)
                and DeadLetter.objects.filter(consumer=batch_listener.group).count() == PER_KEY - 99
            ),
            seconds=SECONDS,
        )

    assert _each_once_in_order(batch_listener, healthy)
    assert batch_listener.effects(sick) == list(range(1, 100))


def test_slow_events_of_one_partition_leave_the_others_their_turn(
    topic: str, keys: list[UUID], listener: Listener
) -> None:
    listener.fails = lambda _: time.sleep(0.02)
    place = {UUID(record.key): record.partition for record in everything_in(topic)}

    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: len(listener.calls) >= 150, seconds=SECONDS)

    handled = [place[key] for key, _ in listener.calls]
    assert min(handled.count(number) for number in set(place.values())) >= 20


def test_a_partition_that_backs_off_keeps_its_backlog_and_the_others_go_on(
    topic: str, keys: list[UUID], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_policy, "MAX_ATTEMPTS", 1_000_000)
    monkeypatch.setattr(partition, "RETRY_DELAYS_SECONDS", (0.2, 0.2))
    place = {UUID(record.key): record.partition for record in everything_in(topic)}
    held = [key for key in keys if place[key] == 0]
    others = [key for key in keys if place[key] != 0]
    listener.fails = lambda envelope: ValueError("not yet") if envelope.aggregate_id in held else None

    with consuming(listener.group, topic) as consumer:
        drive_consumers(
            consumer,
            until=lambda: _handled(listener) == len(others) * PER_KEY,
            seconds=SECONDS,
        )
        assert _each_once_in_order(listener, others)
        assert not any(listener.effects(key) for key in held)
        listener.fails = lambda _: None
        drive_consumers(consumer, until=lambda: _handled(listener) == EVENTS, seconds=SECONDS)

    assert _each_once_in_order(listener, keys)
    assert not DeadLetter.objects.exists()


def test_members_that_come_and_go_share_a_backlog_without_loss(
    topic: str, keys: list[UUID], batch_listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "HEARTBEAT_MS", 200)
    with consuming(batch_listener.group, topic) as first:
        drive_consumers(first, until=lambda: _handled(batch_listener) >= 300, seconds=SECONDS)
        with consuming(batch_listener.group, topic) as second:
            drive_consumers(
                first,
                second,
                until=lambda: bool(_assigned(second)) and _handled(batch_listener) >= 1_200,
                seconds=SECONDS,
            )
        drive_consumers(first, until=lambda: _handled(batch_listener) == EVENTS, seconds=SECONDS)

    assert _each_once_in_order(batch_listener, keys)


def test_lag_is_what_the_broker_has_although_the_client_does_not_fetch(
    growing: Backlog, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "SECONDS_BETWEEN_LAGS", 0.1)
    monkeypatch.setattr(group, "MAINTENANCE_SECONDS", 0.1)
    name = f"event-consumer.{listener.group}"
    with consuming(listener.group, growing.topic) as consumer:
        drive_consumers(consumer, until=lambda: _handled(listener) == FEW, seconds=SECONDS)
        _starve(consumer, growing.topic)
        growing.add(MORE)

        drive_consumers(
            consumer,
            until=lambda: ProcessHeartbeat.objects.filter(name=name, detail=f"lag {MORE}").exists(),
            seconds=30,
        )

        assert _handled(listener) == FEW


def test_a_partition_that_is_not_fetched_any_more_is_down_with_the_reason_and_heals(
    growing: Backlog, batch_listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "SECONDS_BETWEEN_LAGS", 0.1)
    monkeypatch.setattr(group, "MAINTENANCE_SECONDS", 0.1)
    monkeypatch.setattr(progress, "LIMIT_SECONDS", 2.0)
    name = f"event-consumer.{batch_listener.group}"

    with consuming(batch_listener.group, growing.topic) as consumer:
        drive_consumers(consumer, until=lambda: _handled(batch_listener) == FEW, seconds=SECONDS)
        _starve(consumer, growing.topic)
        growing.add(MORE)

        drive_consumers(
            consumer, until=lambda: ProcessHeartbeat.objects.filter(name=name, state="down").exists(), seconds=30
        )
        assert f"events of {growing.topic}/" in ProcessHeartbeat.objects.get(name=name).detail
        drive_consumers(
            consumer,
            until=lambda: (
                _handled(batch_listener) == FEW + MORE
                and ProcessHeartbeat.objects.filter(name=name, state="up", detail="lag 0").exists()
            ),
            seconds=60,
        )


def _starve(consumer: GroupConsumer, topic: str) -> None:
    """As if the client had lost its partitions: nothing of them is in hand, and nothing is fetched."""
    consumer._work.clear()
    consumer._consumer.pause(*[TopicPartition(topic, number) for number in range(3)])


def _assigned(consumer: GroupConsumer) -> set[TopicPartition]:
    return (consumer._consumer.assignment() or set()) if consumer._consumer else set()
