"""Reader of queues: one connection, one channel per priority. Messages stay unacknowledged until they are settled."""

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
    abort,
    connect,
    ready_messages,
    release,
    unavailable,
)


@dataclass(frozen=True)
class ChannelSpec:
    """Queues with a channel and a prefetch of their own, so that other channels cannot delay their messages."""

    queues: tuple[str, ...]
    prefetch: int = 50


@dataclass
class _OpenChannel:
    waiting: deque[Message] = field(default_factory=deque)
    received: int = 0

    def take(self, message: Message) -> None:
        self.received += 1
        self.waiting.append(message)

    def take_unreadable(self, message: Message, _: Exception) -> None:
        self.take(message)


def body_of(message: Any) -> bytes:
    """The body as it was sent. py-amqp decodes it if the sender named an encoding."""
    body: Any = message.body
    if not isinstance(body, str):
        return bytes(body or b"")
    try:
        return body.encode(message.properties.get("content_encoding") or "utf-8")
    except (LookupError, ValueError):
        return body.encode(errors="surrogatepass")


class QueueReader:
    """Connects when first needed, and again after a failure. Not thread-safe. Channels are given most urgent first.

    A message belongs to the connection that delivered it. After BrokerUnavailable, unacknowledged messages must be
    discarded: RabbitMQ delivers them again.
    """

    def __init__(self, name: str, channels: Sequence[ChannelSpec]) -> None:
        self._name = name
        self._channels = channels
        self._open: list[_OpenChannel] = []
        self._connection: Connection | None = None
        self._settled_here = 0
        # Messages acknowledged or rejected so far, over all connections.
        self.settled = 0

    def next(self, *, seconds: float) -> Message | None:
        """The next message of the most urgent channel that has one; None if none arrives within `seconds`.

        Raises BrokerUnavailable.
        """
        try:
            self._connect()
            self._pump(0.0 if any(channel.waiting for channel in self._open) else seconds)
        except BrokerUnavailable:
            self._drop()
            raise
        except CONNECTION_ERRORS as error:
            self._drop()
            raise unavailable(error) from error
        return next((channel.waiting.popleft() for channel in self._open if channel.waiting), None)

    def take(self, limit: int, *, seconds: float) -> list[Message]:
        """At most `limit` messages; waits up to `seconds` for the first only. Raises BrokerUnavailable."""
        taken: list[Message] = []
        while len(taken) < limit and (message := self.next(seconds=0.0 if taken else seconds)) is not None:
            taken.append(message)
        return taken

    @property
    def is_connected(self) -> bool:
        """False after BrokerUnavailable: unacknowledged messages are delivered again over the next connection."""
        return self._connection is not None

    @property
    def unacknowledged(self) -> int:
        """Number of messages that this connection delivered and that are neither acknowledged nor rejected."""
        return sum(channel.received for channel in self._open) - self._settled_here

    def ready(self) -> int:
        """Number of ready messages in the queues, without unacknowledged ones. Raises BrokerUnavailable."""
        try:
            self._connect()
            assert self._connection is not None
            names = [queue for channel in self._channels for queue in channel.queues]
            return ready_messages(self._connection, names)
        except BrokerUnavailable:
            self._drop()
            raise
        except CONNECTION_ERRORS as error:
            self._drop()
            raise unavailable(error) from error

    def reconnect(self) -> None:
        """Closes the connection: unacknowledged messages return to their queue, and the next read subscribes again."""
        self._drop()

    def keep_alive(self) -> None:
        """Exchanges heartbeats while messages are being handled. Raises BrokerUnavailable."""
        try:
            if self._connection is not None:
                self._pump(0.0)
        except CONNECTION_ERRORS as error:
            self._drop()
            raise unavailable(error) from error

    def push_back(self, message: Message) -> None:
        """Makes the message the next of its channel again."""
        if self._open:
            number, _, _ = message.delivery_info["consumer_tag"].partition(".")
            self._open[int(number)].waiting.appendleft(message)

    def ack(self, messages: Iterable[Message]) -> None:
        """Raises BrokerUnavailable; the messages are delivered again then."""
        self._settle(messages, lambda message: message.ack())

    def reject(self, messages: Iterable[Message]) -> None:
        """Dead-letters the messages. Raises BrokerUnavailable; they are delivered again then."""
        self._settle(messages, lambda message: message.reject(requeue=False))

    def close(self) -> None:
        if self._connection is not None:
            release(self._connection)
        self._forget()

    def _settle(self, messages: Iterable[Message], settle: Any) -> None:
        try:
            for message in messages:
                settle(message)
                self.settled += 1
                self._settled_here += 1
        except CONNECTION_ERRORS as error:
            self._drop()
            raise unavailable(error) from error

    def _connect(self) -> None:
        if self._connection is not None:
            return
        self._connection = connect(self._name)
        for number, channel in enumerate(self._channels):
            opened = _OpenChannel()
            consumer = Consumer(
                self._connection.channel(),
                queues=[Queue(queue, no_declare=True) for queue in channel.queues],
                on_message=opened.take,
                on_decode_error=opened.take_unreadable,
                prefetch_count=channel.prefetch,
                auto_declare=False,
                # The prefix identifies the channel of a delivered message.
                tag_prefix=f"{number}.",
            )
            consumer.consume()
            self._open.append(opened)

    def _pump(self, seconds: float) -> None:
        """Processes what has arrived, waiting for it up to `seconds`."""
        assert self._connection is not None
        self._connection.heartbeat_check()
        with contextlib.suppress(TimeoutError):
            self._connection.drain_events(timeout=max(seconds, 0.001))
            while True:
                self._connection.drain_events(timeout=0.001)

    def _drop(self) -> None:
        if self._connection is not None:
            abort(self._connection)
        self._forget()

    def _forget(self) -> None:
        self._connection = None
        self._open = []
        self._settled_here = 0
