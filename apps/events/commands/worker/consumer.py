"""Celery's consumer, less what it would create in RabbitMQ by itself, plus care for messages that it would fail on."""

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
from apps.events.brokers.rabbitmq.inspection import Inbound, fault_of
from apps.events.brokers.rabbitmq.reader import body_of
from apps.events.brokers.topology import rabbitmq as topology
from apps.messages.base import Command, WakeUp

logger = structlog.get_logger(__name__)

# With any quorum queue in sight this step declares 28 queues and as many exchanges for countdowns and ETAs. Nothing
# here uses them: a retry waits on a rung.
NOT_WANTED = ("celery.worker.consumer.delayed_delivery:DelayedDelivery",)

MISSING_QUEUE_PAUSE_SECONDS = 2.0

# Between attempts to connect. Celery waits two seconds longer each time, up to half a minute: work would resume that
# much later than RabbitMQ.
FIRST_RECONNECT_PAUSE_SECONDS = 0.5
LONGEST_RECONNECT_PAUSE_SECONDS = 4.0


def task_queues() -> list[Queue]:
    """The queues that workers may consume. Never declared by a worker: `manage.py declare_topology` does that.

    Celery has to know their arguments all the same: a quorum queue takes no global prefetch limit.
    """
    wanted = {*topology.queue_names(Command), *topology.queue_names(WakeUp)}
    exchange = Exchange(topology.COMMANDS, type="direct", durable=True, no_declare=True)
    return [
        Queue(spec.name, exchange, routing_key=spec.name, queue_arguments=spec.arguments, no_declare=True)
        for spec in topology.queues()
        if spec.name in wanted
    ]


class CheckQueues(bootsteps.StartStopStep):
    """Says in one sentence that a queue is missing; the worker tries again until it is there."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:
        for queue in consumer.app.amqp.queues.consume_from:
            try:
                with consumer.connection.channel() as channel:
                    channel.queue_declare(queue, passive=True)
            except NotFound:
                logger.error("queue_missing", queue=queue, advice="run `manage.py declare_topology`")
                time.sleep(MISSING_QUEUE_PAUSE_SECONDS)
                raise


class CommandConsumer(Consumer):
    """`worker_consumer` of the Celery application."""

    # Counted from -1, Celery would take a child that was killed while the worker waited for RabbitMQ for one that could
    # not start, and end. Children that really cannot start end it still: they may not be replaced that often.
    restart_count = 0

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]
        default_steps = [step for step in Consumer.Blueprint.default_steps if step not in NOT_WANTED]

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=FIRST_RECONNECT_PAUSE_SECONDS,
            interval_step=FIRST_RECONNECT_PAUSE_SECONDS,
            interval_max=LONGEST_RECONNECT_PAUSE_SECONDS,
        )
        return super().ensure_connected(conn)

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Celery's handler, behind a check: what it fails on would otherwise end this process, and the next one too.

        Only the loss of the connection leaves here as an exception. Everything else is the message's fault, or is taken
        for it: rejected, it goes to the router, which tries again what it can read.
        """
        handle = super().create_task_handler(*args, **options)
        consumer: Any = self
        lost = (*consumer.connection_errors, *consumer.channel_errors)

        def on_message(message: Any) -> None:
            fault = fault_of(_inbound(message))
            if fault:
                self._refuse(message, fault)
                return
            try:
                handle(message)
            except lost:
                raise
            except Exception as error:
                logger.exception("message_not_taken", queue=_queue_of(message))
                self._refuse(message, type(error).__name__)

        return on_message

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Celery would acknowledge, and so lose, what it cannot decode; rejected, it ends in a dead-letter queue."""
        self._refuse(message, f"It cannot be decoded: {type(exc).__name__}.")

    def _refuse(self, message: Any, reason: str) -> None:
        if message.acknowledged:
            return
        logger.error("message_unreadable", queue=_queue_of(message), reason=reason, content_type=message.content_type)
        message.reject_log_error(logger, CONNECTION_ERRORS)


def _queue_of(message: Any) -> str:
    """Queues of work are bound by their own name, and dead-letter under it."""
    return str(message.delivery_info.get("routing_key"))


def _inbound(message: Any) -> Inbound:
    return Inbound(
        _queue_of(message), message.headers, body_of(message), message.content_type, message.content_encoding
    )
