"""All letters of one dead-letter queue in hand at once, in the order of their deaths, for one process at a time.

RabbitMQ does not keep the order of messages that were looked at: what a lost connection gives back comes in any order.
The retry router writes the time of death into each letter. The process that holds them returns the rest in that order.
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

# Another process may be listing them; a redrive takes longer.
WAIT_SECONDS = 10.0
RETRY_SECONDS = 0.2

# Half of what RabbitMQ passes on to a quorum queue as it comes.
ANSWERS_UNDER_WAY = 16
CARRY_OUT_SECONDS = 5.0

_UNKNOWN = datetime.min.replace(tzinfo=UTC)


class DeadLettersInUse(Conflict):
    """Another process has the letters of this queue in hand."""

    code = "dead_letters_in_use"


@dataclass(frozen=True)
class Held:
    """A letter in hand. `place` says where it belongs: when it died, then where it lay in the queue."""

    message: Any
    place: tuple[datetime, int]

    @property
    def tag(self) -> int:
        return int(self.message.delivery_tag)


class Hold:
    """The letters of a queue, from the moment it was made."""

    def __init__(self, connection: Connection, source: str) -> None:
        self._connection = connection
        self._source = source
        self._taken: list[Any] = []
        # By delivery tag, where each belongs that has not left the queue.
        self._held: dict[int, tuple[datetime, int]] = {}
        _lock(connection, source)
        self._channel: Any = connection.channel()
        for _ in range(self._ready()):
            if not self._take_next():
                break

    def oldest(self, fits: Callable[[Any], bool], limit: int | None) -> list[Held]:
        """At most `limit` letters that fit, oldest first."""
        found = (Held(each, self._held[each.delivery_tag]) for each in self._taken if each.delivery_tag in self._held)
        wanted = (held for held in found if fits(held.message))
        if limit is None:
            return sorted(wanted, key=lambda held: held.place)
        return heapq.nsmallest(max(limit, 0), wanted, key=lambda held: held.place)

    def let_go(self, held: Held) -> None:
        """The letter leaves the queue for good."""
        self._channel.basic_ack(held.tag)
        del self._held[held.tag]

    def keep_alive(self) -> None:
        """Between two letters that are far apart in time: call it about once a second."""
        with contextlib.suppress(TimeoutError):
            self._connection.drain_events(timeout=0.001)
        self._connection.heartbeat_check()

    def give_back(self) -> None:
        """In order: RabbitMQ puts what comes back in one go into any order, and so it does with what it has to put off
        because more than 32 answers to a queue are under way. What is under way when the channel closes is lost."""
        self._take_next()
        tags = sorted(self._held, key=lambda tag: self._held[tag])
        before = self._ready()
        for number, tag in enumerate(tags, start=1):
            self._channel.basic_reject(tag, requeue=True)
            if number % ANSWERS_UNDER_WAY == 0 or number == len(tags):
                self._await_ready(before + number)
        self._held.clear()
        self._channel.close()

    def _take_next(self) -> bool:
        """The next letter, if there is one. RabbitMQ has carried out every earlier answer when it says what."""
        message = self._channel.basic_get(self._source)
        if message is None:
            return False
        self._held[message.delivery_tag] = (died_at(message) or _UNKNOWN, len(self._taken))
        self._taken.append(message)
        return True

    def _ready(self) -> int:
        return int(self._channel.queue_declare(self._source, passive=True).message_count)

    def _await_ready(self, count: int) -> None:
        deadline = time.monotonic() + CARRY_OUT_SECONDS
        while self._ready() < count and time.monotonic() < deadline:
            time.sleep(0.001)


@contextlib.contextmanager
def hold(source: str) -> Iterator[Hold]:
    """Takes the queue's letters; what has not been let go is given back in order. Raises BrokerUnavailable,
    DeadLettersInUse."""
    connection = connect("dead-letters")
    try:
        held = Hold(connection, source)
        try:
            yield held
        finally:
            with contextlib.suppress(*CONNECTION_ERRORS):
                held.give_back()
    except CONNECTION_ERRORS as error:
        raise unavailable(error) from error
    finally:
        release(connection)


def died_at(message: Any) -> datetime | None:
    """By the router's word; else by RabbitMQ's, to the second."""
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
    """An exclusive queue belongs to one connection, and RabbitMQ removes it with that connection."""
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
