"""The retry router's one step: read failures, decide, publish onwards with proof, and only then let go of them."""

import time
from collections.abc import Sequence
from typing import Any

import amqp
import structlog
from django.conf import settings
from django.utils import timezone
from kombu.message import Message
from prometheus_client import Counter

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable, exists
from apps.events.brokers.rabbitmq.headers import (
    ATTEMPT,
    DEAD_AT,
    DEAD_HEADERS,
    DEAD_QUEUE,
    DEAD_REASON,
    DEFERRALS,
    version_of,
)
from apps.events.brokers.rabbitmq.messages import Outgoing, can_be_sent
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.events.brokers.rabbitmq.reader import Lane, QueueReader, body_of
from apps.events.brokers.rabbitmq.reader_watch import ReaderWatch
from apps.events.brokers.topology import rabbitmq as topology
from apps.events.commands import executions
from apps.events.commands.retry_router.decision import (
    Again,
    Dead,
    Decision,
    Failed,
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

routed = Counter("retry_router_messages_total", "Failed messages, by what became of them.", ["queue", "outcome"])

HEARTBEAT = "retry-router"
PREFETCH = 50
IDLE_SECONDS = 0.25
# Of headers that cannot be sent again as they are.
_SHOWN_CHARACTERS = 4000


# RabbitMQ's own notes on the way so far. They would grow with every round, and RabbitMQ 4 ignores them anyway.
# CC and BCC would deliver to further queues.
_BROKER_HEADERS = ("x-death", "x-delivery-count", "x-acquired-count", "CC", "BCC")
_BROKER_PREFIXES = ("x-first-death-", "x-last-death-", "x-opt-")
# Orders to the broker, not ours to repeat: whose login the sender's must be, and when to drop the message.
_ORDERS = ("user_id", "expiration")


class RetryRouter:
    """Keeps what it has read until the broker has confirmed where it went: ended in between, it comes again.

    One for each priority: a flood of failures that are not urgent, or full retry queues of theirs, delay no other.
    """

    def __init__(self, priority: Priority = Priority.NORMAL) -> None:
        self._priority = priority
        self._heartbeat = f"{HEARTBEAT}{priority.suffix}"
        self._reader = QueueReader(self._heartbeat, [Lane((topology.failures_name(priority),), PREFETCH)])
        self._watch = ReaderWatch(self._heartbeat, self._reader)
        self._publisher = ConfirmedPublisher(f"{self._heartbeat}-publisher")
        self._in_hand: list[Message] = []
        self._known = {
            (message.declaration.destination, message.declaration.version): message for message in all_messages()
        }
        self._subscribers: set[str] = set()
        self._backoff = Backoff()

    def step(self) -> float:
        """Routes what there is. Returns the seconds to wait before the next step. Raises DatabaseError."""
        try:
            if self._in_hand:
                self._reader.keep_alive()
            else:
                self._in_hand = self._reader.take(PREFETCH, seconds=IDLE_SECONDS)
            if self._in_hand:
                self._route()
            else:
                self._publisher.keep_alive()
            standing = self._watch.standing()
        except BrokerUnavailable as error:
            if not self._reader.is_connected:
                self._in_hand = []
            # Otherwise only the publisher failed: the broker takes what is in hand for being worked on, and would
            # bring it again to nobody.
            return self._pause(str(error))
        if self._in_hand:
            return self._pause("A retry queue is full.")
        self._backoff.succeeded()
        heartbeats.beat(self._heartbeat, *standing)
        return 0.0

    def close(self) -> None:
        """What is in hand returns to the queue."""
        self._publisher.close()
        self._reader.close()

    def _route(self) -> None:
        """Leaves in hand what the broker refused. Raises BrokerUnavailable, DatabaseError."""
        failed = [self._failed(message) for message in self._in_hand]
        decisions = self._decide(failed)
        outgoing = [
            _outgoing(message, each, decision, self._priority)
            for message, each, decision in zip(self._in_hand, failed, decisions, strict=True)
        ]
        to_send = [each for each in outgoing if each is not None]
        outcome = self._publisher.publish(to_send) if to_send else None
        verdicts = iter(outcome.verdicts if outcome else ())
        arrived = [each is None or next(verdicts) is Verdict.CONFIRMED for each in outgoing]
        for is_there, each, decision in zip(arrived, failed, decisions, strict=True):
            if is_there:
                _account_for(each, decision)
        self._reader.ack([message for is_there, message in zip(arrived, self._in_hand, strict=True) if is_there])
        self._in_hand = [message for is_there, message in zip(arrived, self._in_hand, strict=True) if not is_there]
        if outcome is not None and outcome.error is not None:
            raise outcome.error

    def _decide(self, failed: Sequence[Failed]) -> list[Decision]:
        ids = {command_id for each in failed if (command_id := command_id_of(each)) is not None}
        rows: dict[Any, CommandExecution] = CommandExecution.objects.in_bulk(ids)
        rungs = settings.ENVIRONMENT.retry_rungs_seconds
        now = timezone.now()
        return [
            decide(each, rows.get(command_id_of(each)), rungs=rungs, now=now)
            if self._is_ours(each)
            else Dead(f"no queue of ours is called {each.queue}", is_foreign=True)
            for each in failed
        ]

    def _failed(self, message: Message) -> Failed:
        queue = message.delivery_info["routing_key"]
        declared = self._known.get((queue, version_of(message.headers)))
        return Failed(
            queue, declared, message.headers, body_of(message), message.content_type, message.content_encoding
        )

    def _is_ours(self, failed: Failed) -> bool:
        """Whether a rung would lead back: to a queue of the catalogue, or of a further subscriber with its own dead
        letters. What no queue takes at the end of a rung would stay in the rung for ever."""
        if failed.declared is not None or failed.queue in self._subscribers:
            return True
        if not exists(failed.queue, topology.dead_letter_queue(failed.queue)):
            return False
        self._subscribers.add(failed.queue)
        return True

    def _pause(self, reason: str) -> float:
        seconds = self._backoff.failed()
        logger.warning("routing_paused", reason=reason, next_try_in_seconds=seconds)
        heartbeats.beat(self._heartbeat, "down", reason)
        return seconds


def _outgoing(message: Message, failed: Failed, decision: Decision, priority: Priority) -> Outgoing | None:
    more: dict[str, Any]
    if isinstance(decision, Settled):
        return None
    if isinstance(decision, Again):
        more = {ATTEMPT: decision.attempt, DEFERRALS: decision.deferrals}
        exchange, key = topology.rung_name(decision.rung_seconds, priority), failed.queue
    else:
        more = {
            DEAD_REASON: decision.reason,
            # Dead letters are listed and sent again in this order.
            DEAD_AT: timezone.now().isoformat(timespec="microseconds"),
            DEAD_QUEUE: failed.queue,
        }
        exchange, key = topology.DEAD, topology.FAILURES if decision.is_foreign else failed.queue
    headers = {name: value for name, value in failed.headers.items() if not _is_broker_note(name)}
    properties: dict[str, Any] = {
        name: value for name, value in message.properties.items() if name not in ("application_headers", *_ORDERS)
    }
    properties["delivery_mode"] = 2
    # What the broker returns is recognised by this id.
    message_id = str(properties.setdefault("message_id", f"unnamed-{time.monotonic_ns()}"))
    again = amqp.Message(failed.body, application_headers=headers | more, **properties)
    if not can_be_sent(again):
        shown = {DEAD_HEADERS: repr(headers)[:_SHOWN_CHARACTERS]}
        again = amqp.Message(failed.body, application_headers=shown | more, message_id=message_id, delivery_mode=2)
    return Outgoing(message_id, exchange, key, again)


def _is_broker_note(name: Any) -> bool:
    return isinstance(name, str) and (name in _BROKER_HEADERS or name.startswith(_BROKER_PREFIXES))


def _account_for(failed: Failed, decision: Decision) -> None:
    routed.labels(failed.queue, type(decision).__name__.lower()).inc()
    match decision:
        case Again():
            logger.info("retry_scheduled", queue=failed.queue, attempt=decision.attempt, seconds=decision.rung_seconds)
        case Dead():
            logger.error("message_dead", queue=failed.queue, reason=decision.reason)
            if decision.gives_up:
                executions.give_up(command_of(failed), reason=decision.reason, now=timezone.now())
        case Settled():
            logger.info("retry_not_needed", queue=failed.queue, reason=decision.reason)
