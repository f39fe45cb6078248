"""Status consumer and router are down where messages lie in their queues and none is dealt with, and they subscribe
again where the broker brings them nothing."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import amqp
import pytest

from apps.events.brokers.rabbitmq import reader_watch
from apps.events.brokers.rabbitmq.reader import QueueReader
from apps.events.commands.retry_router.router import RetryRouter
from apps.events.consumers.rabbitmq import StatusConsumer
from apps.events.models import ProcessHeartbeat
from apps.events.process import heartbeats
from tests.chaos.network import Link
from tests.integration.events.test_rabbitmq_outages import link
from tests.integration.events.test_status_consumer import Seen, announce, dispatcher, seen, started
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import eventually

__all__ = ["dispatcher", "link", "seen"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.events.process.progress.LIMIT_SECONDS", 1.0)
    monkeypatch.setattr(heartbeats, "SECONDS_BETWEEN_BEATS", 0.0)
    heartbeats._written.clear()


@pytest.fixture
def consumer(seen: Seen, rabbitmq: RabbitMQ) -> Iterator[StatusConsumer]:
    made = StatusConsumer()
    yield made
    made.close()


@pytest.fixture
def router(rabbitmq: RabbitMQ) -> Iterator[RetryRouter]:
    made = RetryRouter()
    yield made
    made.close()


def beat_of(name: str) -> tuple[str, str]:
    found = ProcessHeartbeat.objects.filter(name=name).first()
    return (found.state, found.detail) if found else ("", "")


def reaches(step: Callable[[], Any], name: str, state: str, *, detail: str = "") -> None:
    eventually(
        lambda: step() is not None and beat_of(name)[0] == state and detail in beat_of(name)[1],
        what=f"{name} to be {state} with {detail!r}, not {beat_of(name)}",
    )


def fail_one(rabbitmq: RabbitMQ) -> None:
    with rabbitmq.channel() as channel:
        message = amqp.Message(b"not a message of ours", message_id=str(uuid4()), delivery_mode=2)
        channel.basic_publish(message, exchange="muckard.failures", routing_key="bot.stop")


def lose_subscriptions(reader: QueueReader) -> None:
    """As after a fault of the broker: the connection lives, and nothing comes by it any more."""
    assert reader._connection is not None
    for channel in list(reader._connection.connection.channels.values()):
        for tag in list(getattr(channel, "callbacks", {})):
            channel.basic_cancel(tag)


def test_a_status_consumer_whose_subscription_is_lost_says_so_and_subscribes_again(
    consumer: StatusConsumer, dispatcher: Any, seen: Seen, rabbitmq: RabbitMQ
) -> None:
    reaches(consumer.step, "status-consumer", "up")
    lose_subscriptions(consumer._reader)
    bot = uuid4()
    announce(dispatcher, started(bot))

    reaches(consumer.step, "status-consumer", "down", detail="No message was acknowledged for 1 s; waiting: 1.")
    assert "It subscribes to its queues again." in beat_of("status-consumer")[1]
    eventually(lambda: consumer.step() is not None and seen.started == [bot], what="the message")
    reaches(consumer.step, "status-consumer", "up")


def test_a_router_whose_subscription_is_lost_says_so_and_subscribes_again(
    router: RetryRouter, rabbitmq: RabbitMQ
) -> None:
    reaches(router.step, "retry-router", "up")
    lose_subscriptions(router._reader)
    fail_one(rabbitmq)

    reaches(router.step, "retry-router", "down", detail="RabbitMQ delivers none of them")
    eventually(lambda: router.step() is not None and rabbitmq.count("bot.stop.dlq") == 1, what="the message")
    reaches(router.step, "retry-router", "up")


def test_a_reader_with_messages_in_hand_is_down_and_does_not_subscribe_again(
    consumer: StatusConsumer, dispatcher: Any, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconnects: list[QueueReader] = []
    monkeypatch.setattr(QueueReader, "reconnect", lambda self: reconnects.extend([self]))
    with monkeypatch.context() as deaf:
        # Nothing is read: what the broker delivers stays where it is.
        deaf.setattr(QueueReader, "next", lambda self, *, seconds: self.ready() * 0 or None)
        announce(dispatcher, started(uuid4()))
        reaches(consumer.step, "status-consumer", "down", detail="It holds 1 of them unacknowledged")
    eventually(lambda: consumer.step() is not None and len(seen.started) == 1, what="the message")
    reaches(consumer.step, "status-consumer", "up")
    # Not even while the count that is a few seconds old says that something waits.
    assert reconnects == []


@pytest.mark.parametrize("waiting", [0, 10])
def test_an_idle_and_a_slow_reader_are_up(
    consumer: StatusConsumer, dispatcher: Any, seen: Seen, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    if waiting:
        announce(dispatcher, *[started(uuid4()) for _ in range(waiting)])
    handle = StatusConsumer._handle

    def handle_slowly(self: StatusConsumer, message: Any) -> None:
        time.sleep(0.4)
        handle(self, message)

    monkeypatch.setattr(StatusConsumer, "_handle", handle_slowly)
    began = time.monotonic()
    while len(seen.started) < waiting or time.monotonic() - began < 4:
        consumer.step()
        assert beat_of("status-consumer")[0] == "up"
        assert time.monotonic() - began < 30


def test_a_broker_that_is_silent_is_told_and_does_not_hold_the_step_up(link: Link, seen: Seen) -> None:
    consumer = StatusConsumer()
    try:
        reaches(consumer.step, "status-consumer", "up")
        link.silence()
        reaches(consumer.step, "status-consumer", "down", detail="silent")
        link.heal()
        reaches(consumer.step, "status-consumer", "up")
    finally:
        consumer.close()


def test_messages_in_hand_of_a_full_retry_queue_keep_their_own_reason(
    router: RetryRouter, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_watch, "SECONDS_BETWEEN_COUNTS", 0.1)
    monkeypatch.setattr(router, "_route", lambda: None)
    fail_one(rabbitmq)
    reaches(router.step, "retry-router", "down", detail="A retry queue is full.")
