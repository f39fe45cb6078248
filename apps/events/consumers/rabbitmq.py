"""Consumer of status messages and alerts from RabbitMQ. It acknowledges after the handler's transaction."""

from collections.abc import Mapping

import structlog
from kombu.message import Message

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.headers import envelope_from
from apps.events.brokers.rabbitmq.reader import ChannelSpec, QueueReader, body_of
from apps.events.brokers.rabbitmq.reader_watch import ReaderWatch
from apps.events.brokers.topology import rabbitmq as topology
from apps.events.consumers import metrics
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import groups, handlers_for
from apps.events.consumers.retry_policy import Result
from apps.events.process import heartbeats
from apps.events.process.backoff import Backoff
from apps.events.process.run_loop import DATABASE_ERRORS
from apps.messages.base import Priority, Status, Transport, message_class

logger = structlog.get_logger(__name__)

HEARTBEAT = "status-consumer"
IDLE_SECONDS = 0.25
NORMAL_PREFETCH = 20
HIGH_PREFETCH = 50


class StatusConsumer:
    """Consumes every status queue that a group of this service has a handler for. Call load_consumers() first.

    High-priority queues have a channel of their own, so that a flood of other status messages cannot delay them.
    """

    def __init__(self) -> None:
        self._groups = [group for group in groups() if _statuses_of(group)]
        handled = set().union(*(_statuses_of(group) for group in self._groups))
        channels = [
            ChannelSpec(
                tuple(queue for queue in topology.queue_names(Status, priority=priority) if queue in handled), prefetch
            )
            for priority, prefetch in ((Priority.HIGH, HIGH_PREFETCH), (Priority.NORMAL, NORMAL_PREFETCH))
        ]
        self.queues = [queue for channel in channels for queue in channel.queues]
        self._reader = QueueReader("status-consumer", [channel for channel in channels if channel.queues])
        self._watch = ReaderWatch(HEARTBEAT, self._reader)
        self._backoff = Backoff()

    def step(self) -> float:
        """Handles one message. Returns the delay in seconds until the next step. Raises DatabaseError."""
        try:
            message = self._reader.next(seconds=IDLE_SECONDS)
            if message is not None:
                self._handle(message)
            health = self._watch.health()
        except BrokerUnavailable as error:
            return self._pause(str(error))
        self._backoff.succeeded()
        heartbeats.beat(HEARTBEAT, *health)
        return 0.0

    def close(self) -> None:
        """Unacknowledged messages return to their queue."""
        self._reader.close()

    def _handle(self, message: Message) -> None:
        try:
            envelope = envelope_from(message.headers, body_of(message))
            for group in self._groups:
                is_new = deliver(envelope, group=group)
                metrics.events.labels(group, (Result.HANDLED if is_new else Result.SKIPPED).value).inc()
        except DATABASE_ERRORS:
            # The message is not the cause, so this is not an attempt: it is handled next when PostgreSQL answers.
            self._reader.push_back(message)
            raise
        except Exception:
            metrics.rejected.inc()
            logger.exception("status_failed", headers=_log_headers(message.headers))
            self._reader.reject([message])
        else:
            self._reader.ack([message])

    def _pause(self, reason: str) -> float:
        seconds = self._backoff.failed()
        logger.warning("status_paused", reason=reason, next_try_in_seconds=seconds)
        heartbeats.beat(HEARTBEAT, "down", reason)
        return seconds


def _statuses_of(group: str) -> set[str]:
    """The queues of the status messages that the group has handlers for."""
    classes = [message_class(name, version) for name, version in handlers_for(group, transport=Transport.RABBITMQ)]
    return {each.declaration.destination for each in classes if issubclass(each, Status)}


def _log_headers(headers: Mapping[str, object]) -> dict[str, str]:
    # py-amqp leaves a header name that is not UTF-8 as bytes.
    prefixes = ("cloudEvents_", "x-attempt")
    return {str(name): str(value) for name, value in headers.items() if str(name).startswith(prefixes)}
