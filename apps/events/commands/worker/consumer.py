"""Celery consumer that declares nothing in RabbitMQ and rejects messages that would end the worker's process.

`worker_consumer` and bootsteps are documented extension points of Celery. `Blueprint.default_steps`, `restart_count`,
`ensure_connected`, `create_task_handler` and `on_decode_error` are not: they were checked against Celery 5.7.0, and
tests/integration/events/test_command_workers.py and test_malformed_messages.py fail if one of them changes.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from amqp.exceptions import NotFound
from celery import bootsteps
from celery.worker.consumer import Consumer
from kombu import Exchange, Queue

from apps.events.brokers.rabbitmq.connection import CONNECTION_ERRORS
from apps.events.brokers.rabbitmq.inspection import InboundMessage, rejection_reason
from apps.events.brokers.rabbitmq.reader import body_of
from apps.events.brokers.topology import rabbitmq as topology
from apps.messages.base import Command, WakeUp

logger = structlog.get_logger(__name__)

# If any queue is a quorum queue, this step declares 28 queues and as many exchanges for countdowns and ETAs. They are
# not used: a retry waits in a retry queue.
REMOVED_STEPS = ("celery.worker.consumer.delayed_delivery:DelayedDelivery",)

MISSING_QUEUE_DELAY_SECONDS = 2.0

# Delays between attempts to connect. Celery's default grows by two seconds up to half a minute, so that work would
# resume long after RabbitMQ is back.
FIRST_RECONNECT_DELAY_SECONDS = 0.5
MAX_RECONNECT_DELAY_SECONDS = 4.0


def task_queues() -> list[Queue]:
    """The queues that workers may consume. Workers never declare them: `manage.py declare_topology` does.

    Celery needs their arguments, because a quorum queue does not accept a global prefetch limit.
    """
    names = {*topology.queue_names(Command), *topology.queue_names(WakeUp)}
    exchange = Exchange(topology.COMMANDS, type="direct", durable=True, no_declare=True)
    return [
        Queue(spec.name, exchange, routing_key=spec.name, queue_arguments=spec.arguments, no_declare=True)
        for spec in topology.queues()
        if spec.name in names
    ]


class CheckQueues(bootsteps.StartStopStep):
    """Logs a missing queue and makes the worker retry until the queue exists."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:
        for queue in consumer.app.amqp.queues.consume_from:
            try:
                with consumer.connection.channel() as channel:
                    channel.queue_declare(queue, passive=True)
            except NotFound:
                logger.error("queue_missing", queue=queue, advice="run `manage.py declare_topology`")
                time.sleep(MISSING_QUEUE_DELAY_SECONDS)
                raise


class CommandConsumer(Consumer):
    """`worker_consumer` of the Celery application."""

    # Celery starts at -1. It would then mistake a child that was killed while the worker waits for RabbitMQ for one
    # that cannot start, and end the worker. Children that really cannot start still end it, by their restart limit.
    restart_count = 0

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]
        default_steps = [step for step in Consumer.Blueprint.default_steps if step not in REMOVED_STEPS]

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=FIRST_RECONNECT_DELAY_SECONDS,
            interval_step=FIRST_RECONNECT_DELAY_SECONDS,
            interval_max=MAX_RECONNECT_DELAY_SECONDS,
        )
        return super().ensure_connected(conn)

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Celery's handler behind a validation: an invalid message would end this process, and then the next one.

        Only a lost connection is raised. After any other exception the message is rejected to the retry router, which
        retries valid messages.
        """
        handle = super().create_task_handler(*args, **options)
        consumer: Any = self
        connection_lost = (*consumer.connection_errors, *consumer.channel_errors)

        def on_message(message: Any) -> None:
            reason = rejection_reason(_inbound(message))
            if reason:
                self._reject(message, reason)
                return
            try:
                handle(message)
            except connection_lost:
                raise
            except Exception as error:
                logger.exception("message_not_taken", queue=_queue_of(message))
                self._reject(message, type(error).__name__)

        return on_message

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Rejects the message, so that it is dead-lettered. Celery would acknowledge it, and so lose it."""
        self._reject(message, f"It cannot be decoded: {type(exc).__name__}.")

    def _reject(self, message: Any, reason: str) -> None:
        if message.acknowledged:
            return
        logger.error("message_unreadable", queue=_queue_of(message), reason=reason, content_type=message.content_type)
        message.reject_log_error(logger, CONNECTION_ERRORS)


def _queue_of(message: Any) -> str:
    """The work queue of a message: queues are bound by their own name."""
    return str(message.delivery_info.get("routing_key"))


def _inbound(message: Any) -> InboundMessage:
    return InboundMessage(
        _queue_of(message), message.headers, body_of(message), message.content_type, message.content_encoding
    )
