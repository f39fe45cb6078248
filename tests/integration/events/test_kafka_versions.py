"""Delivery and order are the same with every version of kafka-python, whether or not its internals were checked."""

import importlib.metadata
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from kafka.errors import MessageSizeTooLargeError

from apps.events.brokers.kafka import internals
from apps.events.brokers.kafka.fallback import SequentialProducer
from apps.events.brokers.kafka.producer import EventProducer
from apps.events.models import ProcessHeartbeat
from apps.events.process import heartbeats
from tests.support.consumers import Listener, consuming, drive_consumers
from tests.support.kafka import everything_in, fill_outbox, outbox_count, sequences_by_key, topic_of_its_own
from tests.support.relaying import drain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("client_version")]

SMALL_BYTES = 1_000


@pytest.fixture
def small_topic() -> Iterator[str]:
    """A topic that refuses records of more than a kilobyte."""
    with topic_of_its_own(1, max_message_bytes=str(SMALL_BYTES)) as name:
        yield name


def _send(producer: EventProducer, topic: str, value: bytes) -> Any:
    return producer.send(topic, key=b"key", value=value, headers=[("ce_id", b"1")], timestamp_ms=1)


def test_the_path_follows_the_installed_version(client_version: str) -> None:
    producer = EventProducer("test")
    try:
        assert isinstance(producer._client, SequentialProducer) == (client_version == "another version")
    finally:
        producer.end()


def test_the_installed_version_is_the_checked_one() -> None:
    assert importlib.metadata.version("kafka-python") == internals.CHECKED_VERSION


def test_the_relay_sends_every_event_once_in_the_order_of_its_key(topic: str) -> None:
    keys = [uuid4() for _ in range(5)]
    fill_outbox(topic, keys, 100)

    drain(topic)

    assert outbox_count(topic) == 0
    assert sequences_by_key(everything_in(topic)) == {str(key): list(range(1, 21)) for key in keys}


def test_nothing_is_sent_after_a_record_that_the_broker_refuses(small_topic: str) -> None:
    producer = EventProducer("test")
    try:
        assert producer.knows(small_topic, seconds=10)
        _send(producer, small_topic, b"first").get(10)

        refused = _send(producer, small_topic, b"x" * 2 * SMALL_BYTES)
        with pytest.raises(MessageSizeTooLargeError):
            refused.get(10)
        with pytest.raises(Exception, match=r"."):
            _send(producer, small_topic, b"third").get(10)

        assert isinstance(producer.failure, MessageSizeTooLargeError)
    finally:
        producer.end()
    assert [record.value for record in everything_in(small_topic)] == [b"first"]


def test_records_that_wait_fail_when_the_producer_ends(topic: str) -> None:
    producer = EventProducer("test")
    assert producer.knows(topic, seconds=10)
    futures = [_send(producer, topic, b"{}") for _ in range(200)]
    began = time.monotonic()

    producer.end()

    assert time.monotonic() - began < 6
    assert all(future.is_done for future in futures)
    sent = len(everything_in(topic))
    assert sum(future.succeeded() for future in futures) <= sent
    time.sleep(0.5)
    assert len(everything_in(topic)) == sent


def test_a_broker_that_answers_is_seen_without_waiting(topic: str) -> None:
    producer = EventProducer("test")
    try:
        began = time.monotonic()
        assert producer.answers(within_seconds=10) is None
        assert time.monotonic() - began < 0.5
        while (answer := producer.answers(within_seconds=10)) is None:
            time.sleep(0.05)
        assert answer is True
    finally:
        producer.end()


def test_a_group_handles_every_event_once_in_order_and_is_up(topic: str, listener: Listener) -> None:
    keys = [uuid4() for _ in range(4)]
    fill_outbox(topic, keys, 60)
    drain(topic)
    heartbeats._written.clear()
    name = f"event-consumer.{listener.group}"

    with consuming(listener.group, topic) as consumer:
        drive_consumers(consumer, until=lambda: len(listener.calls) >= 60 and _is_up_without_lag(name))

    for key in keys:
        assert listener.effects(key) == list(range(1, 16))
    assert len(listener.calls) == 60


def _is_up_without_lag(name: str) -> bool:
    heartbeats._written.clear()
    row = ProcessHeartbeat.objects.filter(name=name).first()
    return row is not None and (row.state, row.detail) == ("up", "lag 0")
