"""A consumer group hands every event to its handler once, in the order of its key, and survives what goes wrong."""

import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from kafka import KafkaProducer

from apps.core.context import MessageContext, current_context
from apps.events.consumers import partition, registry
from apps.events.consumers.delivery import deliver
from apps.events.consumers.group import GroupConsumer
from apps.events.consumers.registry import consumes
from apps.events.models import DeadLetter, InboxEntry, ProcessHeartbeat
from apps.events.process import heartbeats
from apps.messages.envelope import Envelope
from apps.messages.user import UserUpdated
from tests.support.consumers import Listener, consuming, drive_consumers
from tests.support.kafka import everything_in, fill_outbox
from tests.support.relaying import drain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "RETRY_DELAYS_SECONDS", (0.05, 0.1))
    monkeypatch.setattr(partition, "HALT_SECONDS", 0.3)


def _deliver_all(topic: str, keys: list[UUID], events: int) -> None:
    fill_outbox(topic, keys, events)
    drain(topic)


def _send_again(topic: str) -> None:
    """Every record once more, as a relay does that died before it could delete its rows."""
    producer: Any = KafkaProducer(bootstrap_servers=list(settings.ENVIRONMENT.kafka_bootstrap_servers))
    for record in everything_in(topic):
        producer.send(topic, record.value, record.key.encode(), record.headers, partition=record.partition)
    producer.flush()
    producer.close()


def _send_raw(topic: str, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> None:
    producer: Any = KafkaProducer(bootstrap_servers=list(settings.ENVIRONMENT.kafka_bootstrap_servers))
    producer.send(topic, value, key, headers).get(10)
    producer.close()


def test_every_event_is_handled_once_in_the_order_of_its_key(topic: str, listener: Listener) -> None:
    keys = [uuid4() for _ in range(10)]
    _deliver_all(topic, keys, 300)
    _send_again(topic)

    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: _committed(consumer, topic) == 600)

    for key in keys:
        assert listener.effects(key) == list(range(1, 31))
    assert len(listener.calls) == 300
    assert InboxEntry.objects.filter(consumer=listener.group).count() == 300


def test_what_was_handled_is_not_fetched_again_after_a_stop(topic: str, listener: Listener) -> None:
    key = uuid4()
    _deliver_all(topic, [key], 20)
    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: len(listener.calls) == 20)
    _deliver_all(topic, [key], 1)

    with consuming(listener.group, topic) as consumer:
        began = time.monotonic()
        drive_consumers(consumer, until=lambda: len(listener.calls) == 21)

    assert listener.effects(key) == list(range(1, 22))
    # A group that was left properly need not wait for its dead member.
    assert time.monotonic() - began < 9


def test_an_event_that_fails_once_is_tried_again_and_leaves_no_trace_of_the_failure(
    topic: str, listener: Listener
) -> None:
    key = uuid4()
    _deliver_all(topic, [key], 3)
    listener.fails = lambda envelope: ValueError("not yet") if len(listener.calls) == 2 else None

    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: len(listener.calls) == 4)

    assert listener.calls == [(key, 1), (key, 2), (key, 2), (key, 3)]
    assert listener.effects(key) == [1, 2, 3]
    assert not DeadLetter.objects.exists()


def test_an_event_that_keeps_failing_is_set_aside_with_all_that_follows_it(topic: str, listener: Listener) -> None:
    sick, healthy = uuid4(), uuid4()
    _deliver_all(topic, [healthy, sick], 10)
    listener.fails = lambda envelope: (
        ValueError("it never works") if (envelope.aggregate_id, envelope.aggregate_seq) == (sick, 2) else None
    )

    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: _committed(consumer, topic) == 10)

    assert listener.effects(healthy) == [1, 2, 3, 4, 5]
    assert listener.effects(sick) == [1]
    assert listener.calls.count((sick, 2)) == partition.MAX_ATTEMPTS == 3
    letters = DeadLetter.objects.filter(consumer=listener.group).order_by("id")
    assert [(row.reason, row.attempts) for row in letters] == [
        ("failed", 3),
        ("behind", 0),
        ("behind", 0),
        ("behind", 0),
    ]
    assert [int(row.envelope["sequence"]) for row in letters] == [2, 3, 4, 5]
    assert letters[0].error == "ValueError: it never works"
    assert {row.key for row in letters} == {sick}


def test_a_key_stays_blocked_for_events_that_come_later(topic: str, listener: Listener) -> None:
    sick = uuid4()
    _deliver_all(topic, [sick], 1)
    listener.fails = lambda envelope: ValueError("no") if envelope.aggregate_seq == 1 else None
    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: _committed(consumer, topic) == 1)
    _deliver_all(topic, [sick], 2)

    with consuming(listener.group, topic) as consumer:  # another process, which knows nothing of it
        drive_consumers(consumer, until=lambda: _committed(consumer, topic) == 3)

    assert listener.effects(sick) == []
    assert DeadLetter.objects.filter(consumer=listener.group, reason="behind").count() == 2


def test_a_failing_event_holds_up_its_own_partition_only(
    topic: str, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RETRY_DELAYS_SECONDS", (30.0, 30.0))
    keys = [uuid4() for _ in range(12)]
    _deliver_all(topic, keys, 36)
    records = everything_in(topic)
    sick = records[0].key
    listener.fails = lambda envelope: ValueError("no") if str(envelope.aggregate_id) == sick else None
    elsewhere = {UUID(record.key) for record in records if record.partition != records[0].partition}

    with consuming(listener.group, topic) as consumer:
        drive_consumers(
            consumer, until=lambda: sum(len(listener.effects(key)) for key in elsewhere) == 3 * len(elsewhere)
        )

    assert listener.calls.count((UUID(sick), 1)) == 1
    assert not DeadLetter.objects.exists()


def test_a_database_that_is_gone_is_waited_for_and_makes_no_dead_letter(topic: str, listener: Listener) -> None:
    key = uuid4()
    _deliver_all(topic, [key], 3)
    listener.fails = lambda _: OperationalError("server closed the connection") if len(listener.calls) <= 8 else None
    failures = 0

    with consuming(listener.group, topic) as consumer:
        deadline = time.monotonic() + 30
        while len(listener.effects(key)) < 3 and time.monotonic() < deadline:
            try:
                consumer.step()
            except OperationalError:  # as the process's loop does
                failures += 1
                connection.close()

    assert failures == 8
    assert listener.effects(key) == [1, 2, 3]
    assert not DeadLetter.objects.exists()


def test_when_everything_fails_the_consumer_stops_and_sets_nothing_more_aside(topic: str, listener: Listener) -> None:
    keys = [uuid4() for _ in range(40)]
    _deliver_all(topic, keys, 40)
    broken = True
    listener.fails = lambda _: RuntimeError("a column is missing") if broken else None
    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: consumer._policy.breaker.is_open)
        set_aside = DeadLetter.objects.count()
        for _ in range(10):
            consumer.step()
        assert DeadLetter.objects.count() == set_aside < 10

        broken = False
        drive_consumers(consumer, until=lambda: _committed(consumer, topic) == 40)

    assert sum(len(listener.effects(key)) for key in keys) == 40 - set_aside
    assert DeadLetter.objects.count() == set_aside


def test_a_record_that_is_no_event_of_ours_becomes_a_dead_letter(topic: str, listener: Listener) -> None:
    _send_raw(topic, b"somebody", b"\x00\xff not json", [("x", b"y")])
    key = uuid4()
    _deliver_all(topic, [key], 2)

    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: _committed(consumer, topic) == 3)

    letter = DeadLetter.objects.get()
    assert (letter.event_type, letter.reason) == ("malformed", "failed")
    assert letter.envelope["value"] == "AP8gbm90IGpzb24="
    assert listener.effects(key) == [1, 2]


def test_a_payload_that_does_not_fit_its_class_is_not_tried_again(topic: str, listener: Listener) -> None:
    _deliver_all(topic, [uuid4()], 1)
    (record,) = everything_in(topic)
    headers = [(name, str(uuid4()).encode() if name == "ce_id" else value) for name, value in record.headers]
    _send_raw(topic, record.key.encode(), b'{"surprise":1}', headers)

    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: _committed(consumer, topic) == 2)

    letter = DeadLetter.objects.get()
    assert letter.attempts == 1
    assert letter.error.startswith("InvalidPayload")


def test_events_that_nobody_listens_to_are_passed_over(topic: str, listener: Listener) -> None:
    key = uuid4()
    _deliver_all(topic, [key], 1)
    (record,) = everything_in(topic)
    for name, value in (("ce_type", b"user.invented_later"), ("ce_schemaversion", b"9")):
        headers = [(each, value if each == name else content) for each, content in record.headers]
        _send_raw(topic, record.key.encode(), b'{"from":"the future"}', headers)

    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: _committed(consumer, topic) == 3)

    assert listener.calls == [(key, 1)]
    assert not DeadLetter.objects.exists()


def test_what_a_handler_publishes_belongs_to_the_event_s_chain(topic: str, seen: None) -> None:
    contexts: list[tuple[MessageContext, Envelope]] = []

    def note(message: UserUpdated, envelope: Envelope) -> None:
        contexts.append((current_context(), envelope))

    consumes(UserUpdated, group="test.context")(note)
    _deliver_all(topic, [uuid4()], 1)
    envelope = everything_in(topic)[0].envelope

    assert deliver(envelope, group="test.context") is True
    assert deliver(envelope, group="test.context") is False

    ((context, given),) = contexts
    assert given == envelope
    assert context.causation_id == envelope.event_id
    assert context.correlation_id == envelope.correlation_id
    assert context.traceparent == envelope.traceparent
    registry._registered.pop("test.context")


def test_two_members_share_the_partitions_and_a_member_that_leaves_hands_its_over(
    topic: str, listener: Listener
) -> None:
    keys = [uuid4() for _ in range(12)]
    _deliver_all(topic, keys, 60)
    with consuming(listener.group, topic) as first:
        with consuming(listener.group, topic) as second:
            drive_consumers(
                first,
                second,
                until=lambda: bool(_assigned(first)) and bool(_assigned(second)) and len(listener.calls) >= 60,
                seconds=60,
            )
            assert _assigned(first) | _assigned(second) == {0, 1, 2}
            assert not _assigned(first) & _assigned(second)
        _deliver_all(topic, keys, 60)
        drive_consumers(first, until=lambda: len(listener.calls) >= 120, seconds=60)

    for key in keys:
        assert listener.effects(key) == list(range(1, 11))


def test_the_heartbeat_tells_the_lag(topic: str, listener: Listener) -> None:
    heartbeats._written.clear()
    key = uuid4()
    _deliver_all(topic, [key], 5)
    name = f"event-consumer.{listener.group}"

    with consuming(listener.group, topic) as consumer:
        drive_consumers(
            consumer,
            until=lambda: (
                ProcessHeartbeat.objects.filter(name=name, state="up", detail="lag 0").exists()
                and len(listener.calls) == 5
            ),
        )


def _assigned(consumer: GroupConsumer) -> set[int]:
    return {each.partition for each in (consumer._consumer.assignment() or ())} if consumer._consumer else set()


def _committed(consumer: GroupConsumer, topic: str) -> int:
    """How many records the group has behind it, of all partitions."""
    return sum(work.committed or 0 for tp, work in consumer._work.items() if tp.topic == topic)
