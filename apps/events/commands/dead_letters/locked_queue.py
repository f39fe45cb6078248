"""Locked dead-letter queue: one process at a time holds all its messages unacknowledged, in order of their deaths.

RabbitMQ does not keep the order of messages that were read and returned. The retry router therefore writes the time of
death into each message, and the process that has read them requeues the rest in that order.
"""

import contextlib
import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from amqp.exceptions import ResourceLocked
from kombu import Connection

from apps.core.errors import Conflict
from apps.events.brokers.rabbitmq.connection import CONNECTION_ERRORS, connect, release, unavailable
from apps.events.brokers.rabbitmq.headers import DEAD_AT

# Time to wait for the lock. Listing takes less; a redrive takes longer.
WAIT_SECONDS = 10.0
RETRY_SECONDS = 0.2

# Rejects sent before waiting: half of what RabbitMQ passes on to a quorum queue without buffering.
REJECTS_IN_FLIGHT = 16
REQUEUE_SECONDS = 5.0

_UNKNOWN = datetime.min.replace(tzinfo=UTC)


class DeadLettersInUse(Conflict):
    """Another process has locked this dead-letter queue."""

    code = "dead_letters_in_use"


@dataclass(frozen=True)
class UnackedMessage:
    """An unacknowledged message. `place` is its sort key: time of death, then position in the queue."""

    message: Any
    place: tuple[datetime, int]

    @property
    def tag(self) -> int:
        return int(self.message.delivery_tag)


class LockedQueue:
    """All messages that were in the queue when it was locked."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._connection = connection
        self._source = source
        self._taken: list[Any] = []
        # Sort key by delivery tag, of the messages that are still unacknowledged.
        self._unacked: dict[int, tuple[datetime, int]] = {}
        _lock(connection, source)
        self._channel: Any = connection.channel()
        for _ in range(self._ready()):
            if not self._take_next():
                break

    def oldest(self, matches: Callable[[Any], bool], limit: int | None) -> list[UnackedMessage]:
        """At most `limit` messages that match, oldest first."""
        found = (
            UnackedMessage(each, self._unacked[each.delivery_tag])
            for each in self._taken
            if each.delivery_tag in self._unacked
        )
        matching = (each for each in found if matches(each.message))
        if limit is None:
            return sorted(matching, key=lambda each: each.place)
        return heapq.nsmallest(max(limit, 0), matching, key=lambda each: each.place)

    def ack(self, message: UnackedMessage) -> None:
        """Removes the message from the queue permanently."""
        self._channel.basic_ack(message.tag)
        del self._unacked[message.tag]

    def keep_alive(self) -> None:
        """Exchanges heartbeats while no message is handled: call it about once per second."""
        with contextlib.suppress(TimeoutError):
            self._connection.drain_events(timeout=0.001)
        self._connection.heartbeat_check()

    def requeue(self) -> None:
        """Returns the unacknowledged messages in order, a few rejects at a time.

        RabbitMQ does not keep the order of messages that return together, nor of rejects that it buffers because more
        than 32 are in flight for a queue. Rejects in flight when the channel closes are lost.
        """
        self._take_next()
        tags = sorted(self._unacked, key=lambda tag: self._unacked[tag])
        before = self._ready()
        for number, tag in enumerate(tags, start=1):
            self._channel.basic_reject(tag, requeue=True)
            if number % REJECTS_IN_FLIGHT == 0 or number == len(tags):
                self._await_ready(before + number)
        self._unacked.clear()
        self._channel.close()

    def _take_next(self) -> bool:
        """Reads the next message, if there is one.

        Its answer shows that RabbitMQ has processed every earlier reject.
        """
        message = self._channel.basic_get(self._source)
        if message is None:
            return False
        self._unacked[message.delivery_tag] = (died_at(message) or _UNKNOWN, len(self._taken))
        self._taken.append(message)
        return True

    def _ready(self) -> int:
        return int(self._channel.queue_declare(self._source, passive=True).message_count)

    def _await_ready(self, count: int) -> None:
        deadline = time.monotonic() + REQUEUE_SECONDS
        while self._ready() < count and time.monotonic() < deadline:
            time.sleep(0.001)


@contextlib.contextmanager
def lock_queue(source: str) -> Iterator[LockedQueue]:
    """Locks the queue and reads its messages; those not acknowledged in the block are requeued in order.

    Raises BrokerUnavailable, DeadLettersInUse.
    """
    connection = connect("dead-letters")
    try:
        locked = LockedQueue(connection, source)
        try:
            yield locked
        finally:
            with contextlib.suppress(*CONNECTION_ERRORS):
                locked.requeue()
    except CONNECTION_ERRORS as error:
        raise unavailable(error) from error
    finally:
        release(connection)


def died_at(message: Any) -> datetime | None:
    """Time of death from the retry router's header, or from x-death with a precision of one second."""
    headers = message.properties.get("application_headers") or {}
    moment: Any
    try:
        moment = datetime.fromisoformat(headers[DEAD_AT])
    except (KeyError, TypeError, ValueError):
        try:
            moment = max(death["time"] for death in headers["x-death"])
        except (KeyError, TypeError, ValueError):
            return None
    if not isinstance(moment, datetime):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _lock(connection: Connection, source: str) -> None:
    """Takes the lock: an exclusive queue, which RabbitMQ deletes together with this connection."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        channel: Any = connection.channel()
        try:
            channel.queue_declare(f"muckard.lock.{source}", exclusive=True, durable=False, auto_delete=False)
        except ResourceLocked:
            if time.monotonic() >= deadline:
                raise DeadLettersInUse(
                    f"Another process has the dead letters of {source} in hand: try again when it is done."
                ) from None
            time.sleep(RETRY_SECONDS)
        else:
            return
