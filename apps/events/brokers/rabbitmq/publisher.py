"""Publisher with confirms: each message ends as confirmed, refused, unroutable, unknown or not sent.

Confirms are pipelined: messages are written while the confirms of earlier ones arrive. Waiting for each confirm is
several times slower (docs/rabbitmq.md has the figures).
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

from apps.events.brokers.rabbitmq.confirm_window import ConfirmWindow
from apps.events.brokers.rabbitmq.connection import (
    CONNECTION_ERRORS,
    BrokerUnavailable,
    abort,
    connect,
    corked,
    release,
    unavailable,
)
from apps.events.brokers.rabbitmq.messages import Outgoing

logger = structlog.get_logger(__name__)

CONFIRM_SECONDS = 5.0


class Verdict(StrEnum):
    CONFIRMED = "confirmed"
    # Negatively acknowledged: the queue is full.
    REFUSED = "refused"
    # Returned: no queue is bound. Run `manage.py declare_topology`.
    UNROUTABLE = "unroutable"
    # The connection was lost, or the confirm timed out: the message may have arrived.
    UNKNOWN = "unknown"
    # The time limit expired, or the connection was lost, before the message was written.
    NOT_SENT = "not sent"


@dataclass(slots=True)
class Delivery:
    """A message and its publish result."""

    message: Outgoing
    verdict: Verdict = Verdict.NOT_SENT
    # Time of time.monotonic() at which its confirm times out.
    deadline: float = float("inf")


@dataclass(frozen=True)
class Outcome:
    """The verdict of each message, in the order given, and the error if the connection failed."""

    verdicts: tuple[Verdict, ...]
    error: BrokerUnavailable | None = None


class ConfirmedPublisher:
    """Connects when first needed, and again after a failure. Not thread-safe.

    The confirm window limits the messages in flight. RabbitMQ with a memory or disk alarm accepts connections and reads
    nothing, and a slow network confirms late: without slow start, a whole batch would arrive once per attempt.
    """

    def __init__(self, name: str, *, confirm_seconds: float = CONFIRM_SECONDS) -> None:
        self._name = name
        self._confirm_seconds = confirm_seconds
        self._connection: Connection | None = None
        self._channel: Any = None
        self._sent = 0
        # Unconfirmed messages by delivery tag, in the order of sending.
        self._unconfirmed: dict[int, Delivery] = {}
        self._window = ConfirmWindow()
        self._blocked_because = ""

    def publish(self, messages: Sequence[Outgoing]) -> Outcome:
        """Sends the messages in order and waits for their confirms. Never raises because of the broker."""
        deliveries = [Delivery(message) for message in messages]
        error: BrokerUnavailable | None = None
        try:
            self.send(deliveries)
            self.settle(deliveries)
        except BrokerUnavailable as reason:
            error = reason
        return Outcome(tuple(delivery.verdict for delivery in deliveries), error)

    def send(self, deliveries: Sequence[Delivery], *, seconds: float = float("inf")) -> None:
        """Sends the messages in order, without waiting for the last confirms; after `seconds` the rest is not sent.

        Sets the verdict of each delivery. Raises BrokerUnavailable; then none is in flight any more, and the verdict of
        unconfirmed messages is unknown.
        """
        until = time.monotonic() + seconds
        place = 0
        with self._dropped_on_failure():
            self._connect()
            while place < len(deliveries) and time.monotonic() < until:
                self._await_confirms(until, self._has_room)
                room = self._window.size - len(self._unconfirmed)
                place += self._write(deliveries[place : place + room], until)

    def settle(self, deliveries: Iterable[Delivery], *, seconds: float = float("inf")) -> None:
        """Waits until each delivery that was sent has a verdict.

        Raises BrokerUnavailable if a confirm times out; then none is in flight any more.
        """
        until = time.monotonic() + seconds
        with self._dropped_on_failure():
            for delivery in deliveries:
                self._await_confirms(until, partial(_has_verdict, delivery))

    def keep_alive(self) -> None:
        """Exchanges heartbeats on an idle connection: call it about once per second.

        Raises BrokerUnavailable if the connection is lost.
        """
        with self._dropped_on_failure():
            self._connect()
            assert self._connection is not None
            self._drain(0.001)
            self._connection.heartbeat_check()

    def drop(self) -> None:
        """Closes the connection at once and discards data that was not sent yet."""
        if self._connection is not None:
            abort(self._connection)
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
            if self._unconfirmed:
                self._window.timed_out()
            self.drop()
            raise error from reason
        except BrokerUnavailable:
            self.drop()
            raise

    def _has_room(self) -> bool:
        """Waits for a quarter of the window: writing several messages together is less work, here and for RabbitMQ."""
        return len(self._unconfirmed) <= self._window.size * 3 // 4

    def _write(self, deliveries: Sequence[Delivery], until: float) -> int:
        """Writes until `until` at the latest. Returns how many were written."""
        until = min(until, time.monotonic() + self._confirm_seconds)
        assert self._connection is not None
        with corked(self._connection):
            for count, delivery in enumerate(deliveries):
                now = time.monotonic()
                if now >= until:
                    return count
                delivery.deadline = now + self._confirm_seconds
                delivery.verdict = Verdict.UNKNOWN
                self._sent += 1
                self._unconfirmed[self._sent] = delivery
                each = delivery.message
                self._channel.basic_publish(
                    each.message, exchange=each.exchange, routing_key=each.routing_key, mandatory=True
                )
        return len(deliveries)

    def _await_confirms(self, until: float, is_enough: Callable[[], bool]) -> None:
        """Processes confirms until `is_enough`, or until `until`.

        Raises TimeoutError if the oldest confirm is overdue.
        """
        while self._unconfirmed:
            tag, oldest = next(iter(self._unconfirmed.items()))
            left = min(oldest.deadline, until) - time.monotonic()
            if left <= 0:
                # Confirms that have arrived already count, even if this call comes late.
                while self._drain(0.001):
                    pass
                if tag in self._unconfirmed:
                    raise TimeoutError
            elif is_enough():
                return
            else:
                self._drain(left)

    def _drain(self, seconds: float) -> bool:
        """Processes the next frame from RabbitMQ. False if none arrives within `seconds`."""
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
        self._unconfirmed = {}
        self._sent = 0
        self._window.restart()
        self._blocked_because = ""

    def _on_ack(self, tag: int, multiple: bool) -> None:
        # A returned message is acknowledged too, after its return.
        self._answer(tag, multiple, Verdict.CONFIRMED)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._answer(tag, multiple, Verdict.REFUSED)

    def _answer(self, tag: int, multiple: bool, verdict: Verdict) -> None:
        tags = list(itertools.takewhile(lambda each: each <= tag, self._unconfirmed)) if multiple else [tag]
        self._window.confirmed(len(tags), unconfirmed=len(self._unconfirmed))
        for each in tags:
            delivery = self._unconfirmed.pop(each, None)
            if delivery is not None and delivery.verdict is Verdict.UNKNOWN:
                delivery.verdict = verdict

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        logger.error("message_unroutable", exchange=exchange, routing_key=routing_key, reason=str(error))
        returned = message.properties.get("message_id")
        # Returns arrive before the confirm and in the order of sending: of equal ids, it is the first without a
        # verdict.
        for delivery in self._unconfirmed.values():
            if delivery.verdict is Verdict.UNKNOWN and delivery.message.message_id == returned:
                delivery.verdict = Verdict.UNROUTABLE
                return

    def _on_blocked(self, reason: str) -> None:
        self._blocked_because = str(reason)
        logger.warning("rabbitmq_blocked", reason=str(reason))

    def _on_unblocked(self) -> None:
        self._blocked_because = ""
        logger.info("rabbitmq_unblocked")


def _has_verdict(delivery: Delivery) -> bool:
    return delivery.verdict is not Verdict.UNKNOWN
