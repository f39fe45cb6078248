"""What the dispatcher tells of RabbitMQ's queues: how many messages are ready in each."""

from typing import Any

import structlog
from amqp.exceptions import NotFound

from apps.core.metrics import gauge
from apps.events.brokers.rabbitmq.connection import CONNECTION_ERRORS, BrokerUnavailable, abort, connect, release
from apps.events.brokers.topology import rabbitmq

log = structlog.get_logger(__name__)

messages = gauge(
    "queue_messages", "Messages that are ready in a queue of the platform.", ["queue"], processes=["dispatcher"]
)


def read_queues() -> None:
    """Sets the gauges. While RabbitMQ does not answer there are none, and a queue that is missing has none."""
    try:
        found = _counts()
    except (*CONNECTION_ERRORS, BrokerUnavailable) as error:
        messages.clear()
        log.info("queues_not_read", error=type(error).__name__)
        return
    messages.clear()
    for queue, count in found.items():
        messages.labels(queue).set(count)


def _counts() -> dict[str, int]:
    connection = connect("queue-figures")
    try:
        found = {}
        channel: Any = connection.channel()
        for spec in rabbitmq.queues():
            try:
                found[spec.name] = int(channel.queue_declare(spec.name, passive=True).message_count)
            except NotFound:
                # It closed the channel.
                channel = connection.channel()
    except BaseException:
        abort(connection)
        raise
    release(connection)
    return found
