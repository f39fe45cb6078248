"""Shared by the tests of the dispatcher: commands are ordered, queues filled and read."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import amqp
import pytest
from django.db import transaction
from kombu import Connection

from apps.events.brokers.topology import rabbitmq as topology
from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.process import heartbeats
from apps.events.store.publish import dispatch
from apps.messages.bots import StopBot
from tests.support.rabbitmq import RabbitMQ, rabbitmq_rows
from tests.support.waiting import eventually

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def order(bot_id: UUID, *, command: type[Any] = StopBot) -> UUID:
    with transaction.atomic():
        expires_at = NOW + timedelta(days=3650)
        made = command(command_id=uuid4(), bot_id=bot_id, user_id=uuid4(), requested_at=NOW, expires_at=expires_at)
        return dispatch(made, now=NOW)


def commands_in(rabbitmq: RabbitMQ, queue: str) -> list[UUID]:
    return [UUID(json.loads(message.body)[1]["command_id"]) for message in rabbitmq.take(queue)]


def fills_up(rabbitmq: RabbitMQ, queue: str) -> bool:
    """Publishes until the broker refuses: a new queue limit takes effect with a delay."""
    with Connection(rabbitmq.url, transport_options={"confirm_publish": True}) as opened:
        channel: Any = opened.channel()
        try:
            channel.basic_publish(amqp.Message("x"), exchange=topology.COMMANDS, routing_key=queue)
        except amqp.exceptions.MessageNacked:
            return True
    return False


def drain_outbox(dispatcher: Dispatcher, *, seconds: float = 20.0) -> None:
    """Steps the dispatcher until nothing waits for RabbitMQ."""
    eventually(
        lambda: dispatcher.step() is not None and not rabbitmq_rows().exists(), seconds=seconds, what="an empty outbox"
    )


@pytest.fixture
def running(rabbitmq: RabbitMQ) -> Iterator[Dispatcher]:
    heartbeats._written.clear()
    made = Dispatcher()
    yield made
    made.close()


@pytest.fixture
def drain(running: Dispatcher) -> Callable[[], None]:
    return partial(drain_outbox, running)
