"""Status and alerts from RabbitMQ to the handlers of this service: acknowledged after the handler's transaction."""

from collections.abc import Mapping

import structlog
from kombu.message import Message

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.headers import envelope_from
from apps.events.brokers.rabbitmq.reader import Lane, QueueReader, body_of
from apps.events.brokers.rabbitmq.reader_watch import ReaderWatch
from apps.events.brokers.topology import rabbitmq as topology
from apps.events.consumers import metrics
from apps.events.consumers.delivery import deliver
from apps.events.consumers.registry import groups, handlers_for
from apps.events.consumers.retry_policy import Result
from apps.events.process import heartbeats
from apps.events.process.backoff import Backoff
from apps.events.process.run_loop import DATABASE_ERRORS
from apps.messages.base import Priority, Status, message_class

logger = structlog.get_logger(__name__)

HEARTBEAT = "status-consumer"
IDLE_SECONDS = 0.25
NORMAL_PREFETCH = 20
HIGH_PREFETCH = 50


class StatusConsumer:
    """Reads the queues that some group of this service has a handler for. Alerts come by a lane of their own, so that
    a flood of other news cannot delay them. Call load_consumers() first."""

    def __init__(self) -> None:
        self._groups = [group for group in groups() if _statuses_of(group)]
        wanted = set().union(*(_statuses_of(group) for group in self._groups))
        lanes = [
            Lane(tuple(queue for queue in topology.queue_names(Status, priority=priority) if queue in wanted), prefetch)
            for priority, prefetch in ((Priority.HIGH, HIGH_PREFETCH), (Priority.NORMAL, NORMAL_PREFETCH))
        ]
        self.queues = [queue for lane in lanes for queue in lane.queues]
        self._reader = QueueReader("status-consumer", [lane for lane in lanes if lane.queues])
        self._watch = ReaderWatch(HEARTBEAT, self._reader)
        self._backoff = Backoff()

    def step(self) -> float:
        """Handles one message. Returns the seconds to wait before the next step. Raises DatabaseError."""
        try:
            message = self._reader.next(seconds=IDLE_SECONDS)
            if message is not None:
                self._handle(message)
            standing = self._watch.standing()
        except BrokerUnavailable as error:
            return self._pause(str(error))
        self._backoff.succeeded()
        heartbeats.beat(HEARTBEAT, *standing)
        return 0.0

    def close(self) -> None:
        """What has not been handled returns to its queue."""
        self._reader.close()

    def _handle(self, message: Message) -> None:
        try:
            envelope = envelope_from(message.headers, body_of(message))
            for group in self._groups:
                is_new = deliver(envelope, group=group)
                metrics.events.labels(group, (Result.HANDLED if is_new else Result.SKIPPED).value).inc()
        except DATABASE_ERRORS:
            # Not the message's fault, and no attempt: it is the next again when PostgreSQL answers.
            self._reader.put_back(message)
            raise
        except Exception:
            metrics.rejected.inc()
            logger.exception("status_failed", headers=_shown(message.headers))
            self._reader.reject([message])
        else:
            self._reader.ack([message])

    def _pause(self, reason: str) -> float:
        seconds = self._backoff.failed()
        logger.warning("status_paused", reason=reason, next_try_in_seconds=seconds)
        heartbeats.beat(HEARTBEAT, "down", reason)
        return seconds


def _statuses_of(group: str) -> set[str]:
    """The queues of the status messages that a group handles."""
    classes = [message_class(name, version) for name, version in handlers_for(group)]
    return {each.declaration.destination for each in classes if issubclass(each, Status)}


def _shown(headers: Mapping[str, object]) -> dict[str, str]:
    # A name that is not UTF-8 comes as bytes.
    shown = ("cloudEvents_", "x-attempt")
    return {str(name): str(value) for name, value in headers.items() if str(name).startswith(shown)}
