"""Backlogs far above a poll and a batch: every partition is read to its end, whatever happens in the middle."""

import time
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from kafka import TopicPartition

from apps.events.consumers import group, partition, registry, retry_policy
from apps.events.consumers.group import GroupConsumer
from apps.events.consumers.registry import consumes_batch
from apps.events.models import DeadLetter, InboxEntry, ProcessHeartbeat
from apps.events.process import progress
from apps.messages.envelope import Envelope
from apps.messages.user import UserUpdated
from tests.support.consumers import Listener, consuming, drive_consumers
from tests.support.kafka import everything_in, fill_outbox
from tests.support.relaying import drain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

KEYS = 60
EVENTS = 15_000
SECONDS = 200.0


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "RETRY_DELAYS_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(partition, "HALT_SECONDS", 0.3)


@pytest.fixture
def keys(topic: str, seen: None) -> list[UUID]:
    """The keys of about 5 000 events in each of three partitions."""
    made = [uuid4() for _ in range(KEYS)]
    fill_outbox(topic, made, EVENTS)
    drain(topic)
    return made


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
    return all(listener.effects(key) == list(range(1, EVENTS // KEYS + 1)) for key in keys)


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
    per_key = EVENTS // KEYS

    with consuming(batch_listener.group, topic) as consumer:
        drive_consumers(
            consumer,
            until=lambda: (
                _handled(batch_listener) == EVENTS - (per_key - 99)
                and DeadLetter.objects.filter(consumer=batch_listener.group).count() == per_key - 99
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
            until=lambda: _handled(listener) == len(others) * EVENTS // KEYS,
            seconds=SECONDS,
        )
        assert _each_once_in_order(listener, others)
        assert not any(listener.effects(key) for key in held)
        listener.fails = lambda _: None
        drive_consumers(consumer, until=lambda: _handled(listener) == EVENTS, seconds=SECONDS)

    assert _each_once_in_order(listener, keys)
    assert not DeadLetter.objects.exists()


def test_members_that_come_and_go_share_a_backlog_without_loss(
    topic: str, keys: list[UUID], batch_listener: Listener
) -> None:
    with consuming(batch_listener.group, topic) as first:
        drive_consumers(first, until=lambda: _handled(batch_listener) >= 1_000, seconds=SECONDS)
        with consuming(batch_listener.group, topic) as second:
            drive_consumers(
                first,
                second,
                until=lambda: bool(_assigned(second)) and _handled(batch_listener) >= 4_000,
                seconds=SECONDS,
            )
        drive_consumers(first, until=lambda: _handled(batch_listener) == EVENTS, seconds=SECONDS)

    assert _each_once_in_order(batch_listener, keys)


def test_lag_is_what_the_broker_has_although_the_client_does_not_fetch(
    topic: str, keys: list[UUID], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "SECONDS_BETWEEN_LAGS", 0.1)
    monkeypatch.setattr(group, "MAINTENANCE_SECONDS", 0.1)
    name = f"event-consumer.{listener.group}"
    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: _handled(listener) == EVENTS, seconds=SECONDS)
        _starve(consumer, topic)
        fill_outbox(topic, keys, 6_000)
        drain(topic)

        drive_consumers(
            consumer,
            until=lambda: ProcessHeartbeat.objects.filter(name=name, detail="lag 6000").exists(),
            seconds=30,
        )

        assert _handled(listener) == EVENTS


def test_a_partition_that_is_not_fetched_any_more_is_down_with_the_reason_and_heals(
    topic: str, keys: list[UUID], batch_listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "SECONDS_BETWEEN_LAGS", 0.1)
    monkeypatch.setattr(group, "MAINTENANCE_SECONDS", 0.1)
    monkeypatch.setattr(progress, "LIMIT_SECONDS", 2.0)
    name = f"event-consumer.{batch_listener.group}"

    with consuming(batch_listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: _handled(batch_listener) == EVENTS, seconds=SECONDS)
        _starve(consumer, topic)
        fill_outbox(topic, keys, 6_000)
        drain(topic)

        drive_consumers(
            consumer, until=lambda: ProcessHeartbeat.objects.filter(name=name, state="down").exists(), seconds=30
        )
        assert f"events of {topic}/" in ProcessHeartbeat.objects.get(name=name).detail
        drive_consumers(
            consumer,
            until=lambda: (
                _handled(batch_listener) == EVENTS + 6_000
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
