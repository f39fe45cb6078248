"""Publishing with proof: each message is confirmed, refused, returned, or its fate is unknown.

Confirms are pipelined: messages go on being written while the answers to earlier ones come in. Waiting for each one
alone is several times slower (docs/rabbitmq.md has the figures).
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import structlog
from kombu import Connection

from apps.events.brokers.rabbitmq.connection import (
    CONNECTION_ERRORS,
    BrokerUnavailable,
    collect,
    connect,
    in_full_packets,
    release,
    unavailable,
)
from apps.events.brokers.rabbitmq.messages import Outgoing

logger = structlog.get_logger(__name__)

CONFIRM_SECONDS = 5.0

# So many messages are under way at most. A lost connection leaves the fate of these unknown, and no others.
LARGEST_WINDOW = 512


class Verdict(StrEnum):
    CONFIRMED = "confirmed"
    # The queue is full: try later.
    REFUSED = "refused"
    # No queue is bound: `manage.py declare_topology`.
    UNROUTABLE = "unroutable"
    # The connection ended, or time ran out, before the answer: it may have arrived.
    UNKNOWN = "unknown"
    # Time was up, or the connection lost, before its turn came.
    NOT_SENT = "not sent"


@dataclass(slots=True)
class Delivery:
    """One message on its way."""

    message: Outgoing
    verdict: Verdict = Verdict.NOT_SENT
    # When its answer is overdue, by time.monotonic().
    deadline: float = float("inf")


@dataclass(frozen=True)
class Outcome:
    """What became of each message, in the order given, and why the rest is unknown where it is."""

    verdicts: tuple[Verdict, ...]
    error: BrokerUnavailable | None = None


class ConfirmedPublisher:
    """One connection, made when first needed and again after a failure. Not for several threads.

    On a new connection the first message goes alone, and with each answer one more may be under way. RabbitMQ with an
    alarm takes connections and reads nothing, and a slow network confirms late: a batch given to each connection would
    arrive as often as it was tried.
    """

    def __init__(self, name: str, *, confirm_seconds: float = CONFIRM_SECONDS) -> None:
        self._name = name
        self._confirm_seconds = confirm_seconds
        self._connection: Connection | None = None
        self._channel: Any = None
        self._sent = 0
        # What waits for its answer, by delivery tag, in the order of sending.
        self._waiting: dict[int, Delivery] = {}
        self._window = 1
        self._ceiling = LARGEST_WINDOW
        self._answers_at_ceiling = 0
        self._blocked_because = ""

    def publish(self, messages: Sequence[Outgoing]) -> Outcome:
        """Sends the messages in order and waits for their answers. Never raises for the broker."""
        deliveries = [Delivery(message) for message in messages]
        error: BrokerUnavailable | None = None
        try:
            self.send(deliveries)
            self.settle(deliveries)
        except BrokerUnavailable as reason:
            error = reason
        return Outcome(tuple(delivery.verdict for delivery in deliveries), error)

    def send(self, deliveries: Sequence[Delivery], *, seconds: float = float("inf")) -> None:
        """Sends them in order. Returns while the last ones still wait for their answers; after `seconds` the rest is
        not sent. Each one's verdict is in it.

        Raises BrokerUnavailable: then none is under way any more, and the answers that did not come are unknown.
        """
        until = time.monotonic() + seconds
        place = 0
        with self._dropped_on_failure():
            self._connect()
            while place < len(deliveries) and time.monotonic() < until:
                self._await_answers(until, self._has_room)
                room = self._window - len(self._waiting)
                place += self._write(deliveries[place : place + room], until)

    def settle(self, deliveries: Iterable[Delivery], *, seconds: float = float("inf")) -> None:
        """Waits until each of these has its answer, if it was sent.

        Raises BrokerUnavailable where one did not come in time: then none is under way any more.
        """
        until = time.monotonic() + seconds
        with self._dropped_on_failure():
            for delivery in deliveries:
                self._await_answers(until, partial(_has_answer, delivery))

    def keep_alive(self) -> None:
        """Answers and sends heartbeats on an idle connection: call it about once a second. Notices a lost broker.

        Raises BrokerUnavailable.
        """
        with self._dropped_on_failure():
            self._connect()
            assert self._connection is not None
            self._drain(0.001)
            self._connection.heartbeat_check()

    def drop(self) -> None:
        """Ends the connection at once. What is under way and has not arrived will not, as far as that is up to us."""
        if self._connection is not None:
            collect(self._connection)
        self._forget()

    def close(self) -> None:
        if self._connection is not None:
            release(self._connection)
        self._forget()

    def _connect(self) -> None:
        if self._connection is not None:
            return
        self._connection = connect(self._name)
        try:
            amqp_connection = self._connection.connection
            amqp_connection.on_blocked = self._on_blocked
            amqp_connection.on_unblocked = self._on_unblocked
            self._channel = self._connection.channel()
            self._channel.confirm_select()
        except CONNECTION_ERRORS as error:
            raise unavailable(error) from error
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)

    @contextlib.contextmanager
    def _dropped_on_failure(self) -> Iterator[None]:
        try:
            yield
        except CONNECTION_ERRORS as reason:
            error = self._explain(reason)
            self._shrink()
            self.drop()
            raise error from reason
        except BrokerUnavailable:
            self.drop()
            raise

    def _has_room(self) -> bool:
        """Not for each single one: many written together are less work, here and for RabbitMQ."""
        return len(self._waiting) <= self._window * 3 // 4

    def _write(self, deliveries: Sequence[Delivery], until: float) -> int:
        """Writes what a slow network takes in time; returns how many."""
        until = min(until, time.monotonic() + self._confirm_seconds)
        assert self._connection is not None
        with in_full_packets(self._connection):
            for count, delivery in enumerate(deliveries):
                now = time.monotonic()
                if now >= until:
                    return count
                delivery.deadline = now + self._confirm_seconds
                delivery.verdict = Verdict.UNKNOWN
                self._sent += 1
                self._waiting[self._sent] = delivery
                each = delivery.message
                self._channel.basic_publish(
                    each.message, exchange=each.exchange, routing_key=each.routing_key, mandatory=True
                )
        return len(deliveries)

    def _await_answers(self, until: float, is_enough: Callable[[], bool]) -> None:
        """Raises TimeoutError where the oldest answer is overdue, whatever is enough."""
        while self._waiting:
            tag, oldest = next(iter(self._waiting.items()))
            left = min(oldest.deadline, until) - time.monotonic()
            if left <= 0:
                # What has come already counts, however late somebody looks.
                while self._drain(0.001):
                    pass
                if tag in self._waiting:
                    raise TimeoutError
            elif is_enough():
                return
            else:
                self._drain(left)

    def _grow(self, answers: int) -> None:
        """More may be under way, where it was the window that held them back."""
        if 2 * len(self._waiting) < self._window:
            return
        self._window = min(self._window + answers, self._ceiling)
        if self._window < self._ceiling:
            return
        self._answers_at_ceiling += answers
        if self._answers_at_ceiling >= self._ceiling:
            self._answers_at_ceiling = 0
            self._ceiling = min(self._ceiling + self._ceiling // 4 + 1, LARGEST_WINDOW)

    def _shrink(self) -> None:
        """What was too much for the time it had is not tried again at once."""
        if self._waiting:
            self._ceiling = max(self._window // 2, 1)

    def _drain(self, seconds: float) -> bool:
        """Takes in the next thing that RabbitMQ says. False where it says nothing in time."""
        assert self._connection is not None
        try:
            self._connection.drain_events(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def _explain(self, error: Exception) -> BrokerUnavailable:
        if self._blocked_because:
            return BrokerUnavailable(f"RabbitMQ takes no messages: {self._blocked_because}.")
        return unavailable(error)

    def _forget(self) -> None:
        self._connection = self._channel = None
        self._waiting = {}
        self._sent = 0
        self._window = 1
        self._answers_at_ceiling = 0
        self._blocked_because = ""

    def _on_ack(self, tag: int, multiple: bool) -> None:
        # A returned message is acknowledged as well, after its return.
        self._answer(tag, multiple, Verdict.CONFIRMED)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._answer(tag, multiple, Verdict.REFUSED)

    def _answer(self, tag: int, multiple: bool, verdict: Verdict) -> None:
        tags = list(itertools.takewhile(lambda each: each <= tag, self._waiting)) if multiple else [tag]
        self._grow(len(tags))
        for each in tags:
            delivery = self._waiting.pop(each, None)
            if delivery is not None and delivery.verdict is Verdict.UNKNOWN:
                delivery.verdict = verdict

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        logger.error("message_unroutable", exchange=exchange, routing_key=routing_key, reason=str(error))
        returned = message.properties.get("message_id")
        # Before its acknowledgement, and in the order of sending: of equal ids it is the first without a verdict.
        for delivery in self._waiting.values():
            if delivery.verdict is Verdict.UNKNOWN and delivery.message.message_id == returned:
                delivery.verdict = Verdict.UNROUTABLE
                return

    def _on_blocked(self, reason: str) -> None:
        self._blocked_because = str(reason)
        logger.warning("rabbitmq_blocked", reason=str(reason))

    def _on_unblocked(self) -> None:
        self._blocked_because = ""
        logger.info("rabbitmq_unblocked")


def _has_answer(delivery: Delivery) -> bool:
    return delivery.verdict is not Verdict.UNKNOWN
