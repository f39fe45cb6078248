"""The router's two connections fail one without the other: what one of them brought is not forgotten."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import amqp
import pytest

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.messages import Outgoing
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Outcome, Verdict
from apps.events.commands.retry_router.router import RetryRouter
from tests.support.rabbitmq import RabbitMQ
from tests.support.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Flaky(ConfirmedPublisher):
    """Loses its connection the first few times."""

    losses = 3

    def publish(self, messages: Sequence[Outgoing]) -> Outcome:
        if self.losses:
            self.losses -= 1
            return Outcome((Verdict.UNKNOWN,) * len(messages), BrokerUnavailable("The connection was lost."))
        return super().publish(messages)


@pytest.fixture
def router(rabbitmq: RabbitMQ) -> Iterator[RetryRouter]:
    made = RetryRouter()
    made._publisher = Flaky("test")
    yield made
    made.close()


def test_a_failure_is_routed_although_the_publisher_lost_its_connection(
    router: RetryRouter, rabbitmq: RabbitMQ
) -> None:
    with rabbitmq.channel() as channel:
        message = amqp.Message(b"not a message of ours", message_id=str(uuid4()), delivery_mode=2)
        channel.basic_publish(message, exchange="muckard.failures", routing_key="bot.stop")

    def is_put_away() -> bool:
        router.step()
        return rabbitmq.count("bot.stop.dlq") == 1

    eventually(is_put_away, what="the message that was in hand")
    router.close()
    assert rabbitmq.count("muckard.failures") == 0


def test_what_is_in_hand_comes_again_where_its_own_connection_was_lost(router: RetryRouter, rabbitmq: RabbitMQ) -> None:
    with rabbitmq.channel() as channel:
        message = amqp.Message(b"not a message of ours", message_id=str(uuid4()), delivery_mode=2)
        channel.basic_publish(message, exchange="muckard.failures", routing_key="bot.stop")
    eventually(lambda: router.step() and router._unacked, what="a message in hand")

    connection = router._reader._connection
    assert connection is not None
    connection.connection.transport.sock.close()

    eventually(lambda: router.step() is not None and rabbitmq.count("bot.stop.dlq") == 1, what="the message again")
    assert router._unacked == []
