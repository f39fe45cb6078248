"""Status and alerts reach their handlers once, urgent ones first, and what fails is tried again on its own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection, transaction

from apps.events.commands.retry_router.router import RetryRouter
from apps.events.consumers import registry
from apps.events.consumers.rabbitmq import StatusConsumer
from apps.events.consumers.registry import consumes
from apps.events.models import InboxEntry, ProcessHeartbeat
from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.process import heartbeats
from apps.events.store.publish import publish
from apps.messages.bots import BotError, BotStarted
from apps.messages.envelope import Envelope
from tests.support.rabbitmq import RabbitMQ, rabbitmq_rows
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Seen:
    """What the handlers of two groups were given, and what they are told to do."""

    def __init__(self) -> None:
        self.started: list[UUID] = []
        self.errors: list[UUID] = []
        self.seen_by_others: list[UUID] = []
        self.raises: list[Exception] = []

    def on_started(self, message: BotStarted, envelope: Envelope) -> None:
        self.started.append(message.bot_id)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if self.raises:
            raise self.raises.pop()

    def on_error(self, message: BotError, envelope: Envelope) -> None:
        self.errors.append(message.bot_id)

    def on_started_too(self, message: BotStarted, envelope: Envelope) -> None:
        self.seen_by_others.append(message.bot_id)


@pytest.fixture
def seen() -> Iterator[Seen]:
    before = dict(registry._registered)
    registry._registered.clear()
    made = Seen()
    consumes(BotStarted, group="test.readers")(made.on_started)
    consumes(BotError, group="test.readers")(made.on_error)
    consumes(BotStarted, group="test.another")(made.on_started_too)
    yield made
    registry._registered.clear()
    registry._registered.update(before)


@pytest.fixture
def consumer(seen: Seen, rabbitmq: RabbitMQ) -> Iterator[StatusConsumer]:
    heartbeats._written.clear()
    made = StatusConsumer()
    yield made
    made.close()


@pytest.fixture
def dispatcher(rabbitmq: RabbitMQ) -> Iterator[Dispatcher]:
    made = Dispatcher()
    yield made
    made.close()


def started(bot_id: UUID) -> BotStarted:
    return BotStarted(bot_id=bot_id, user_id=uuid4(), run_id=uuid4(), config_version=1, started_at=NOW)


def error(bot_id: UUID) -> BotError:
    return BotError(bot_id=bot_id, user_id=uuid4(), code="x", message="x", is_final=True, failed_at=NOW)


def announce(dispatcher: Dispatcher, *messages: Any) -> None:
    with transaction.atomic():
        for message in messages:
            publish(message, now=NOW)
    eventually(lambda: dispatcher.step() is not None and not rabbitmq_rows().exists(), what="an empty outbox")


def test_each_group_handles_a_status_message_once(
    consumer: StatusConsumer, dispatcher: Dispatcher, seen: Seen, rabbitmq: RabbitMQ
) -> None:
    bot = uuid4()
    announce(dispatcher, started(bot))

    eventually(lambda: consumer.step() is not None and seen.seen_by_others)
    consumer.close()

    assert seen.started == seen.seen_by_others == [bot]
    assert sorted(InboxEntry.objects.values_list("consumer", flat=True)) == ["test.another", "test.readers"]
    assert rabbitmq.count("bot.started") == 0
    assert ProcessHeartbeat.objects.get(name="status-consumer").state == "up"


def test_only_queues_with_a_handler_are_read(consumer: StatusConsumer) -> None:
    assert sorted(consumer.queues) == ["bot.error", "bot.started"]


def test_a_message_delivered_twice_is_handled_once(
    consumer: StatusConsumer, dispatcher: Dispatcher, seen: Seen, rabbitmq: RabbitMQ
) -> None:
    bot = uuid4()
    announce(dispatcher, started(bot))
    [message] = rabbitmq.take("bot.started")
    with rabbitmq.channel() as channel:
        for _ in range(2):
            channel.basic_publish(message, exchange="muckard.commands", routing_key="bot.started")

    eventually(lambda: consumer.step() is not None and rabbitmq.count("bot.started") == 0)
    for _ in range(3):
        consumer.step()

    assert seen.started == seen.seen_by_others == [bot]


def test_a_failure_is_tried_again_for_the_group_that_failed(
    consumer: StatusConsumer, dispatcher: Dispatcher, seen: Seen, rabbitmq: RabbitMQ
) -> None:
    bot = uuid4()
    seen.raises = [RuntimeError("once"), RuntimeError("twice")]
    announce(dispatcher, started(bot))
    router = RetryRouter()

    eventually(lambda: router.step() is not None and consumer.step() is not None and len(seen.started) == 3)
    router.close()

    assert seen.started == [bot] * 3
    assert seen.seen_by_others.count(bot) == 1
    assert rabbitmq.count("bot.started.dlq") == 0


def test_a_message_that_always_fails_ends_in_the_dead_letters(
    consumer: StatusConsumer, dispatcher: Dispatcher, seen: Seen, rabbitmq: RabbitMQ
) -> None:
    seen.raises = [RuntimeError("always") for _ in range(99)]
    announce(dispatcher, started(uuid4()))
    router = RetryRouter()

    eventually(
        lambda: router.step() is not None and consumer.step() is not None and rabbitmq.count("bot.started.dlq") == 1,
        seconds=40,
    )
    router.close()

    assert len(seen.started) == 5
    assert InboxEntry.objects.filter(consumer="test.readers").count() == 0


def test_an_alert_passes_a_flood_of_other_news(
    consumer: StatusConsumer, dispatcher: Dispatcher, seen: Seen, rabbitmq: RabbitMQ
) -> None:
    bot = uuid4()
    announce(dispatcher, *(started(uuid4()) for _ in range(600)))
    eventually(lambda: consumer.step() is not None and len(seen.started) > 10)
    announce(dispatcher, error(bot))
    eventually(lambda: rabbitmq.count("bot.error") == 0 or consumer.step() is None, what="the alert's arrival")
    before = len(seen.started)

    while not seen.errors:
        consumer.step()

    assert seen.errors == [bot]
    assert len(seen.started) - before <= 5, "the alert waited for other news"


def test_a_database_that_is_away_costs_no_attempt(
    consumer: StatusConsumer, dispatcher: Dispatcher, seen: Seen, rabbitmq: RabbitMQ
) -> None:
    bots = [uuid4(), uuid4()]
    announce(dispatcher, started(bots[0]), started(bots[1]))
    seen.raises = [OperationalError("the database system is shutting down") for _ in range(7)]

    failures = 0
    while len(seen.seen_by_others) < 2:
        try:
            consumer.step()
        except OperationalError:
            failures += 1

    assert failures == 7
    assert seen.seen_by_others == bots
    assert rabbitmq.count("muckard.failures") == 0


def test_what_is_not_of_ours_is_put_away_and_the_next_is_handled(
    consumer: StatusConsumer, dispatcher: Dispatcher, seen: Seen, rabbitmq: RabbitMQ
) -> None:
    import amqp

    with rabbitmq.channel() as channel:
        stray = amqp.Message(b"hello", content_type="text/plain")
        channel.basic_publish(stray, exchange="muckard.status", routing_key="bot.started")
    bot = uuid4()
    announce(dispatcher, started(bot))
    router = RetryRouter()

    eventually(
        lambda: router.step() is not None and consumer.step() is not None and rabbitmq.count("bot.started.dlq") == 1
    )
    router.close()

    assert seen.started == [bot]
