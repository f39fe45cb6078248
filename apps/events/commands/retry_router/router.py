"""Retry router: reads failed messages, decides, publishes with confirms, and acknowledges only after the confirm."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.utils import timezone
from kombu.message import Message

from apps.core.metrics import counter
from apps.events.brokers.rabbitmq.connection import BrokerUnavailable, exists
from apps.events.brokers.rabbitmq.headers import (
    ATTEMPT,
    DEAD_AT,
    DEAD_QUEUE,
    DEAD_REASON,
    DEFERRALS,
    version_of,
    without_broker_headers,
)
from apps.events.brokers.rabbitmq.messages import Outgoing, sendable
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.events.brokers.rabbitmq.reader import ChannelSpec, QueueReader, body_of
from apps.events.brokers.rabbitmq.reader_watch import ReaderWatch
from apps.events.brokers.topology import rabbitmq as topology
from apps.events.commands import executions
from apps.events.commands.retry_router.decision import (
    Decision,
    FailedMessage,
    GiveUp,
    Retry,
    Settled,
    command_id_of,
    command_of,
    decide,
)
from apps.events.models import CommandExecution
from apps.events.process import heartbeats
from apps.events.process.backoff import Backoff
from apps.messages.base import Priority, all_messages

logger = structlog.get_logger(__name__)

routed = counter(
    "retry_router_messages_total", "Failed messages, by outcome.", ["queue", "outcome"], processes=["retry-router"]
)

HEARTBEAT = "retry-router"
PREFETCH = 50
IDLE_SECONDS = 0.25
# Properties that instruct the broker and must not be repeated: the sender's login, and the expiry.
_BROKER_PROPERTIES = ("user_id", "expiration")


_OUTCOMES: dict[type[Decision], str] = {Retry: "retry", GiveUp: "dead", Settled: "settled"}


class RetryRouter:
    """Acknowledges a message after the broker has confirmed its copy; after a crash in between it is delivered again.

    There is one router per priority, so that other failures, and full retry queues of theirs, delay no urgent message.
    """

    def __init__(self, priority: Priority = Priority.NORMAL, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self._priority = priority
        self._clock = clock
        self._heartbeat = f"{HEARTBEAT}{priority.suffix}"
        self._reader = QueueReader(self._heartbeat, [ChannelSpec((topology.failures_name(priority),), PREFETCH)])
        self._watch = ReaderWatch(self._heartbeat, self._reader)
        self._publisher = ConfirmedPublisher(f"{self._heartbeat}-publisher")
        self._unacked: list[Message] = []
        self._known = {
            (message.declaration.destination, message.declaration.version): message for message in all_messages()
        }
        self._subscribers: set[str] = set()
        self._backoff = Backoff()

    def step(self) -> float:
        """Routes one batch. Returns the delay in seconds until the next step. Raises DatabaseError."""
        try:
            if self._unacked:
                self._reader.keep_alive()
            else:
                self._unacked = self._reader.take(PREFETCH, seconds=IDLE_SECONDS)
            if self._unacked:
                self._route()
            else:
                self._publisher.keep_alive()
            health = self._watch.health()
        except BrokerUnavailable as error:
            if not self._reader.is_connected:
                self._unacked = []
            # If only the publisher failed, the messages stay unacknowledged here: the broker does not redeliver them
            # while the reader's connection is open.
            return self._back_off(str(error))
        if self._unacked:
            return self._back_off("A retry queue is full.")
        self._backoff.succeeded()
        heartbeats.beat(self._heartbeat, *health)
        return 0.0

    def close(self) -> None:
        """Unacknowledged messages return to the queue."""
        self._publisher.close()
        self._reader.close()

    def _route(self) -> None:
        """Messages that the broker refused stay unacknowledged. Raises BrokerUnavailable, DatabaseError."""
        now = self._clock()
        failed = [self._failed(message) for message in self._unacked]
        decisions = self._decide(failed, now=now)
        outgoing = [
            _outgoing(message, each, decision, self._priority, now=now)
            for message, each, decision in zip(self._unacked, failed, decisions, strict=True)
        ]
        to_send = [each for each in outgoing if each is not None]
        outcome = self._publisher.publish(to_send) if to_send else None
        verdicts = iter(outcome.verdicts if outcome else ())
        confirmed = [each is None or next(verdicts) is Verdict.CONFIRMED for each in outgoing]
        for is_confirmed, each, decision in zip(confirmed, failed, decisions, strict=True):
            if is_confirmed:
                _record(each, decision, now=now)
        self._reader.ack(
            [message for is_confirmed, message in zip(confirmed, self._unacked, strict=True) if is_confirmed]
        )
        self._unacked = [
            message for is_confirmed, message in zip(confirmed, self._unacked, strict=True) if not is_confirmed
        ]
        if outcome is not None and outcome.error is not None:
            raise outcome.error

    def _decide(self, failed: Sequence[FailedMessage], *, now: datetime) -> list[Decision]:
        ids = {command_id for each in failed if (command_id := command_id_of(each)) is not None}
        rows: dict[Any, CommandExecution] = CommandExecution.objects.in_bulk(ids)
        delays = settings.ENVIRONMENT.retry_delays_seconds
        return [
            decide(each, rows.get(command_id_of(each)), delays=delays, now=now)
            if self._has_queue(each)
            else GiveUp(f"no queue of this platform is called {each.queue}", is_foreign=True)
            for each in failed
        ]

    def _failed(self, message: Message) -> FailedMessage:
        queue = message.delivery_info["routing_key"]
        declared = self._known.get((queue, version_of(message.headers)))
        return FailedMessage(
            queue, declared, message.headers, body_of(message), message.content_type, message.content_encoding
        )

    def _has_queue(self, failed: FailedMessage) -> bool:
        """Whether a retry can return to a work queue: one of a message class, or of a further subscriber that has a
        dead-letter queue. Without such a queue, the message would stay in the retry queue forever."""
        if failed.declared is not None or failed.queue in self._subscribers:
            return True
        if not exists(failed.queue, topology.dead_letter_queue(failed.queue)):
            return False
        self._subscribers.add(failed.queue)
        return True

    def _back_off(self, reason: str) -> float:
        seconds = self._backoff.failed()
        logger.warning("routing_paused", reason=reason, retry_in_seconds=seconds)
        heartbeats.beat(self._heartbeat, "down", reason)
        return seconds


def _outgoing(
    message: Message, failed: FailedMessage, decision: Decision, priority: Priority, *, now: datetime
) -> Outgoing | None:
    more: dict[str, Any]
    if isinstance(decision, Settled):
        return None
    if isinstance(decision, Retry):
        more = {ATTEMPT: decision.attempt, DEFERRALS: decision.deferrals}
        exchange, key = topology.retry_name(decision.delay_seconds, priority), failed.queue
    else:
        more = {
            DEAD_REASON: decision.reason,
            # Dead letters are listed and redriven in this order.
            DEAD_AT: now.isoformat(timespec="microseconds"),
            DEAD_QUEUE: failed.queue,
        }
        exchange, key = topology.DEAD, topology.FAILURES if decision.is_foreign else failed.queue
    headers = without_broker_headers(failed.headers)
    properties: dict[str, Any] = {
        name: value
        for name, value in message.properties.items()
        if name not in ("application_headers", *_BROKER_PROPERTIES)
    }
    properties["delivery_mode"] = 2
    # A returned message is recognised by this id.
    message_id = str(properties.setdefault("message_id", f"unnamed-{time.monotonic_ns()}"))
    return Outgoing(message_id, exchange, key, sendable(failed.body, headers, more, properties))


def _record(failed: FailedMessage, decision: Decision, *, now: datetime) -> None:
    routed.labels(failed.queue, _OUTCOMES[type(decision)]).inc()
    match decision:
        case Retry():
            logger.info("retry_scheduled", queue=failed.queue, attempt=decision.attempt, seconds=decision.delay_seconds)
        case GiveUp():
            logger.error("message_dead_lettered", queue=failed.queue, reason=decision.reason)
            if decision.fails_command:
                executions.give_up(command_of(failed), reason=decision.reason, now=now)
        case Settled():
            logger.info("retry_not_needed", queue=failed.queue, reason=decision.reason)
