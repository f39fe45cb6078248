"""Reading queues through Kombu: several lanes on one connection, the most urgent first. What was read stays
unacknowledged until told otherwise."""

import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kombu import Connection, Consumer, Queue
from kombu.message import Message

from apps.events.brokers.rabbitmq.connection import (
    CONNECTION_ERRORS,
    BrokerUnavailable,
    collect,
    connect,
    ready_messages,
    release,
    unavailable,
)


@dataclass(frozen=True)
class Lane:
    """Queues with a channel and a prefetch of their own: however full another lane is, this one's messages come."""

    queues: tuple[str, ...]
    prefetch: int = 50


@dataclass
class _OpenLane:
    waiting: deque[Message] = field(default_factory=deque)
    received: int = 0

    def take(self, message: Message) -> None:
        self.received += 1
        self.waiting.append(message)

    def take_unreadable(self, message: Message, _: Exception) -> None:
        self.take(message)


def body_of(message: Any) -> bytes:
    """py-amqp decodes where the sender named an encoding; we want what was sent."""
    body: Any = message.body
    if not isinstance(body, str):
        return bytes(body or b"")
    try:
        return body.encode(message.properties.get("content_encoding") or "utf-8")
    except (LookupError, ValueError):
        return body.encode(errors="surrogatepass")


class QueueReader:
    """One connection, made when first needed and again after a failure. Not for several threads.

    A message belongs to the connection that brought it: after BrokerUnavailable forget those in hand, they come again.
    """

    def __init__(self, name: str, lanes: Sequence[Lane]) -> None:
        self._name = name
        self._lanes = lanes
        self._open: list[_OpenLane] = []
        self._connection: Connection | None = None
        self._answered_here = 0
        # Messages acknowledged or rejected so far, over all connections.
        self.answered = 0

    def next(self, *, seconds: float) -> Message | None:
        """The next message of the most urgent lane that has one; None if none comes in time. Raises
        BrokerUnavailable."""
        try:
            self._connect()
            self._pump(0.0 if any(lane.waiting for lane in self._open) else seconds)
        except BrokerUnavailable:
            self._drop()
            raise
        except CONNECTION_ERRORS as error:
            self._drop()
            raise unavailable(error) from error
        return next((lane.waiting.popleft() for lane in self._open if lane.waiting), None)

    def take(self, limit: int, *, seconds: float) -> list[Message]:
        """At most `limit` messages: waits for the first only. Raises BrokerUnavailable."""
        taken: list[Message] = []
        while len(taken) < limit and (message := self.next(seconds=0.0 if taken else seconds)) is not None:
            taken.append(message)
        return taken

    @property
    def is_connected(self) -> bool:
        """False after BrokerUnavailable: what was read comes again, over the next connection."""
        return self._connection is not None

    @property
    def in_hand(self) -> int:
        """How many messages were read over this connection and neither acknowledged nor rejected."""
        return sum(lane.received for lane in self._open) - self._answered_here

    def ready(self) -> int:
        """How many messages lie in the queues, apart from those in anybody's hand. Raises BrokerUnavailable."""
        try:
            self._connect()
            assert self._connection is not None
            names = [queue for lane in self._lanes for queue in lane.queues]
            return ready_messages(self._connection, names)
        except BrokerUnavailable:
            self._drop()
            raise
        except CONNECTION_ERRORS as error:
            self._drop()
            raise unavailable(error) from error

    def reconnect(self) -> None:
        """Gives the connection up: what is in hand returns to its queue, and the next read subscribes again."""
        self._drop()

    def keep_alive(self) -> None:
        """Heartbeats for a connection whose messages are still in hand. Raises BrokerUnavailable."""
        try:
            if self._connection is not None:
                self._pump(0.0)
        except CONNECTION_ERRORS as error:
            self._drop()
            raise unavailable(error) from error

    def put_back(self, message: Message) -> None:
        """The message was not dealt with: it is the next of its lane again."""
        if self._open:
            number, _, _ = message.delivery_info["consumer_tag"].partition(".")
            self._open[int(number)].waiting.appendleft(message)

    def ack(self, messages: Iterable[Message]) -> None:
        """Raises BrokerUnavailable: then they come again."""
        self._answer(messages, lambda message: message.ack())

    def reject(self, messages: Iterable[Message]) -> None:
        """Sends them to where the queue dead-letters to. Raises BrokerUnavailable: then they come again."""
        self._answer(messages, lambda message: message.reject(requeue=False))

    def close(self) -> None:
        if self._connection is not None:
            release(self._connection)
        self._forget()

    def _answer(self, messages: Iterable[Message], answer: Any) -> None:
        try:
            for message in messages:
                answer(message)
                self.answered += 1
                self._answered_here += 1
        except CONNECTION_ERRORS as error:
            self._drop()
            raise unavailable(error) from error

    def _connect(self) -> None:
        if self._connection is not None:
            return
        self._connection = connect(self._name)
        for number, lane in enumerate(self._lanes):
            opened = _OpenLane()
            consumer = Consumer(
                self._connection.channel(),
                queues=[Queue(queue, no_declare=True) for queue in lane.queues],
                on_message=opened.take,
                on_decode_error=opened.take_unreadable,
                prefetch_count=lane.prefetch,
                auto_declare=False,
                # The tag says later which lane a message came by.
                tag_prefix=f"{number}.",
            )
            consumer.consume()
            self._open.append(opened)

    def _pump(self, seconds: float) -> None:
        """Takes in what has arrived, waiting for it no longer than this."""
        assert self._connection is not None
        self._connection.heartbeat_check()
        with contextlib.suppress(TimeoutError):
            self._connection.drain_events(timeout=max(seconds, 0.001))
            while True:
                self._connection.drain_events(timeout=0.001)

    def _drop(self) -> None:
        if self._connection is not None:
            collect(self._connection)
        self._forget()

    def _forget(self) -> None:
        self._connection = None
        self._open = []
        self._answered_here = 0
