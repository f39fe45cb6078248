"""Publishing with proof: each message is confirmed, refused, returned, or its fate is unknown.

Confirms are pipelined: a window of messages is written, then the answers are gathered. Waiting for each one alone is
several times slower (docs/rabbitmq.md has the figures).
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
from kombu import Connection

from apps.events.rabbitmq.connection import (
    CONNECTION_ERRORS,
    BrokerUnavailable,
    collect,
    connect,
    release,
    unavailable,
)
from apps.events.rabbitmq.messages import Outgoing

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


@dataclass(frozen=True)
class Outcome:
    """What became of each message, in the order given, and why the rest is unknown where it is."""

    verdicts: tuple[Verdict, ...]
    error: BrokerUnavailable | None = None


class ConfirmedPublisher:
    """One connection, made when first needed and again after a failure. Not for several threads.

    On a new connection the first message goes alone, then twice as many at a time. RabbitMQ with an alarm takes
    connections and reads nothing, and a slow network confirms late: a batch given to each connection would arrive as
    often as it was tried.
    """

    def __init__(self, name: str, *, confirm_seconds: float = CONFIRM_SECONDS) -> None:
        self._name = name
        self._confirm_seconds = confirm_seconds
        self._connection: Connection | None = None
        self._channel: Any = None
        self._sent = 0
        # Delivery tags that wait for an answer, with the place of their message in the batch.
        self._waiting: dict[int, int] = {}
        self._messages: Sequence[Outgoing] = ()
        self._verdicts: list[Verdict] = []
        self._window = 1
        self._ceiling = LARGEST_WINDOW
        self._deadline = 0.0
        self._blocked_because = ""

    def publish(self, messages: Sequence[Outgoing], *, seconds: float | None = None) -> Outcome:
        """Sends the messages in order, each window confirmed before the next. Begins no window after `seconds`.

        Never raises for the broker: the outcome says what became of each.
        """
        until = None if seconds is None else time.monotonic() + seconds
        self._messages, self._verdicts = messages, [Verdict.NOT_SENT] * len(messages)
        error: BrokerUnavailable | None = None
        try:
            self._connect()
            place = 0
            while place < len(messages) and (until is None or time.monotonic() < until):
                window = range(place, min(place + self._window, len(messages)))
                self._deadline = min(time.monotonic() + self._confirm_seconds, until or float("inf"))
                self._send(window)
                self._await_answers()
                self._grow(len(window))
                place = window.stop
        except BrokerUnavailable as reason:
            error = reason
        except CONNECTION_ERRORS as reason:
            error = self._explain(reason)
        if error is not None:
            self._shrink()
            self._drop()
        return Outcome(tuple(self._verdicts), error)

    def keep_alive(self) -> None:
        """Answers and sends heartbeats on an idle connection: call it about once a second. Notices a lost broker.

        Raises BrokerUnavailable.
        """
        try:
            self._connect()
            assert self._connection is not None
            self._drain(0.001)
            self._connection.heartbeat_check()
        except CONNECTION_ERRORS as reason:
            error = self._explain(reason)
            self._drop()
            raise error from reason
        except BrokerUnavailable:
            self._drop()
            raise

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

    def _send(self, places: Iterable[int]) -> None:
        for place in places:
            each = self._messages[place]
            if time.monotonic() > self._deadline:
                raise TimeoutError
            self._sent += 1
            self._verdicts[place] = Verdict.UNKNOWN
            self._waiting[self._sent] = place
            self._channel.basic_publish(
                each.message, exchange=each.exchange, routing_key=each.routing_key, mandatory=True
            )

    def _await_answers(self) -> None:
        while self._waiting:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._drain(left)

    def _grow(self, confirmed: int) -> None:
        if confirmed >= self._ceiling:
            self._ceiling = min(self._ceiling + self._ceiling // 4 + 1, LARGEST_WINDOW)
        self._window = min(max(self._window, 2 * confirmed), self._ceiling)

    def _shrink(self) -> None:
        """What was too much for the time it had is not tried again at once."""
        if self._waiting:
            self._ceiling = max(self._window // 2, 1)

    def _drain(self, seconds: float) -> None:
        assert self._connection is not None
        try:
            self._connection.drain_events(timeout=seconds)
        except TimeoutError:
            return

    def _explain(self, error: Exception) -> BrokerUnavailable:
        if self._blocked_because:
            return BrokerUnavailable(f"RabbitMQ takes no messages: {self._blocked_because}.")
        return unavailable(error)

    def _drop(self) -> None:
        if self._connection is not None:
            collect(self._connection)
        self._forget()

    def _forget(self) -> None:
        self._connection = self._channel = None
        self._waiting = {}
        self._sent = 0
        self._window = 1
        self._blocked_because = ""

    def _on_ack(self, tag: int, multiple: bool) -> None:
        # A returned message is acknowledged as well, after its return.
        self._answer(tag, multiple, Verdict.CONFIRMED)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._answer(tag, multiple, Verdict.REFUSED)

    def _answer(self, tag: int, multiple: bool, verdict: Verdict) -> None:
        tags = [each for each in self._waiting if each <= tag] if multiple else [tag]
        for each in tags:
            place = self._waiting.pop(each, None)
            if place is not None:
                self._verdicts[place] = verdict if self._verdicts[place] is Verdict.UNKNOWN else self._verdicts[place]

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        logger.error("message_unroutable", exchange=exchange, routing_key=routing_key, reason=str(error))
        returned = message.properties.get("message_id")
        # Before its acknowledgement, and in the order of sending: of equal ids it is the first without a verdict.
        for place in self._waiting.values():
            if self._verdicts[place] is Verdict.UNKNOWN and self._messages[place].message_id == returned:
                self._verdicts[place] = Verdict.UNROUTABLE
                return

    def _on_blocked(self, reason: str) -> None:
        self._blocked_because = str(reason)
        logger.warning("rabbitmq_blocked", reason=str(reason))

    def _on_unblocked(self) -> None:
        self._blocked_because = ""
        logger.info("rabbitmq_unblocked")
