"""Replaces queues whose arguments have changed: RabbitMQ changes none of an existing queue.

    1. a holding queue is bound wherever the queue is, and the queue is unbound
    2. the queue's messages move into the holding queue
    3. the queue is deleted and declared with its new arguments
    4. the queue is bound again, the holding queue is unbound, and its messages move back

A message is acknowledged where it was only after it is confirmed where it goes, so a process that is killed at any step
loses nothing, and the next one goes on where the holding queue says. A message may arrive twice: it is handled once, by
its id. Publishers notice nothing. Messages keep their routing keys, by which the retry router knows a queue: they move
through an exchange of the holding queue's name that routes whatever it is given.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from urllib.parse import quote

import requests
import structlog
from amqp.exceptions import NotFound, PreconditionFailed, ResourceLocked
from django.conf import settings
from kombu import Connection

from apps.core.errors import Conflict
from apps.events.brokers.rabbitmq.connection import CONNECTION_ERRORS, connect, release, unavailable
from apps.events.brokers.rabbitmq.headers import without_broker_headers
from apps.events.brokers.rabbitmq.messages import Outgoing, sendable
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.events.brokers.rabbitmq.reader import ChannelSpec, QueueReader, body_of
from apps.events.brokers.topology.rabbitmq import (
    MANAGEMENT_SECONDS,
    NO_DELIVERY_LIMIT,
    QUORUM,
    QueueSpec,
)

logger = structlog.get_logger(__name__)

LOCK = "muckard.lock.topology"
# Longer than a command may run: what a worker of the earlier release has in progress is waited for.
WAIT_SECONDS = 150.0
# A message that was routed just before its queue was unbound has arrived by then.
SETTLE_SECONDS = 1.0
# The management plugin's figures are up to five seconds old (collect_statistics_interval).
STATISTICS_SECONDS = 6.0
BATCH = 200
# Messages that move before the lock's connection is used again, which must not fall silent
ROUND = 10 * BATCH
POLL_SECONDS = 0.2


class QueueInUse(Conflict):
    """Messages of a queue stay with a consumer, another process replaces queues, or the new queue is full."""

    code = "queue_in_use"


def holding_name(queue: str) -> str:
    return f"muckard.moving.{queue}"


def outdated(connection: Connection, specs: Sequence[QueueSpec]) -> list[QueueSpec]:
    """The queues that have other arguments than their declaration, or whose replacement was interrupted."""
    return [
        spec for spec in specs if _has_other_arguments(connection, spec) or _exists(connection, holding_name(spec.name))
    ]


def replace(specs: Sequence[QueueSpec], *, wait_seconds: float = WAIT_SECONDS) -> int:
    """Replaces these queues; returns how many messages moved. Harmless to repeat, one process at a time.

    Raises QueueInUse if messages stay with consumers, or another process is at it, for `wait_seconds`: then the queues
    are as they were, and have every message. Raises BrokerUnavailable: repeat it.
    """
    with _locked(wait_seconds) as connection:
        return _Replacement(connection, specs, wait_seconds).run()


class _Replacement:
    def __init__(self, connection: Connection, specs: Sequence[QueueSpec], wait_seconds: float) -> None:
        self._connection = connection
        self._specs = specs
        self._wait_seconds = wait_seconds
        self._moved = 0

    def run(self) -> int:
        held = [spec for spec in self._specs if _has_other_arguments(self._connection, spec)]
        bindings = {spec.name: {*spec.bindings} | self._listed(spec.name) for spec in held}
        for spec in held:
            self._hold(spec.name, bindings[spec.name])
        try:
            self._empty(held)
        except QueueInUse:
            self._return({spec.name: bindings[spec.name] for spec in held})
            raise
        for spec in held:
            with _channel(self._connection) as channel:
                channel.queue_delete(spec.name)
            logger.info("queue_deleted", queue=spec.name)
        for spec in self._specs:
            with _channel(self._connection) as channel:
                channel.queue_declare(spec.name, durable=True, auto_delete=False, arguments=spec.arguments)
        self._return({spec.name: set(spec.bindings) for spec in self._specs})
        return self._moved

    def _listed(self, queue: str) -> set[tuple[str, str]]:
        """The bindings that the queue has, where the management plugin can be asked."""
        url = settings.ENVIRONMENT.rabbitmq_management_url
        listed = _ask(url, self._connection, queue, "/bindings") if url else []
        return {(each["source"], each["routing_key"]) for each in listed if each["source"]}

    def _hold(self, queue: str, bindings: set[tuple[str, str]]) -> None:
        """From here on messages for the queue arrive in the holding queue."""
        name = holding_name(queue)
        with _channel(self._connection) as channel:
            arguments = QUORUM | {"x-delivery-limit": NO_DELIVERY_LIMIT}
            channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
            _bind_exchange(channel, name, name)
            for exchange, key in bindings:
                channel.queue_bind(name, exchange, key)
            for exchange, key in bindings:
                channel.queue_unbind(queue, exchange, key)
        logger.info("queue_replacement_begun", queue=queue)

    def _empty(self, specs: Sequence[QueueSpec]) -> None:
        """Moves all messages of the queues. What consumers hold is waited for: it is done then, or ready again."""
        with ExitStack() as open_movers:
            movers = {
                spec.name: open_movers.enter_context(_Mover(spec.name, holding_name(spec.name))) for spec in specs
            }
            self._until_empty(movers, self._kept)

    def _until_empty(self, movers: Mapping[str, "_Mover"], kept_in: Callable[[str], str]) -> None:
        """Moves until `kept_in` says of no queue why it has messages, for a while. Raises QueueInUse."""
        deadline = time.monotonic() + self._wait_seconds
        quiet_since: float | None = None
        while movers:
            moved = sum(mover.move() for mover in movers.values())
            self._moved += moved
            kept = [reason for queue in movers if (reason := kept_in(queue))]
            now = time.monotonic()
            quiet_since = None if moved or kept else quiet_since or now
            if quiet_since is not None and now - quiet_since >= self._quiet_seconds(kept_in):
                return
            if moved:
                deadline = now + self._wait_seconds
            elif kept and now > deadline:
                raise QueueInUse(f"{kept[0]} The queues are as they were. End what reads them, and run this again.")

    def _return(self, bindings: Mapping[str, set[tuple[str, str]]]) -> None:
        """Binds the queues, and moves back what their holding queues have."""
        for queue, bound in bindings.items():
            with _channel(self._connection) as channel:
                for exchange, key in bound:
                    channel.queue_bind(queue, exchange, key)
        names = {queue: holding_name(queue) for queue in bindings if _exists(self._connection, holding_name(queue))}
        for queue, name in names.items():
            with _channel(self._connection) as channel:
                # RabbitMQ's default binding and that of the holding queue's own exchange stay.
                for exchange, key in bindings[queue] | self._listed(name) - {(name, "")}:
                    channel.queue_unbind(name, exchange, key)
        time.sleep(SETTLE_SECONDS)
        for queue, name in names.items():
            back = f"{name}.back"
            with _channel(self._connection) as channel:
                _bind_exchange(channel, queue, back)
            with _Mover(name, back) as mover:
                self._until_empty({name: mover}, self._ready)
            with _channel(self._connection) as channel:
                for exchange in (name, back):
                    channel.exchange_delete(exchange)
                channel.queue_delete(name)
            logger.info("queue_replaced", queue=queue)

    def _ready(self, queue: str) -> str:
        """Why the queue, whose one known consumer is ours, may still have messages that are ready."""
        ready, consumers = self._figures(queue)
        if not consumers:
            return f"RabbitMQ does not say what queue {queue} has."
        return f"Queue {queue} keeps {ready} messages." if ready else ""

    def _kept(self, queue: str) -> str:
        """As `_ready`, with messages that other consumers may hold. AMQP tells their number, not what they hold."""
        ready, consumers = self._figures(queue)
        if ready or not consumers:
            return self._ready(queue)
        url = settings.ENVIRONMENT.rabbitmq_management_url
        if not url:
            return f"Queue {queue} has {consumers - 1} consumers." if consumers > 1 else ""
        # With those that consumers hold, and those whose dead-lettering is not confirmed yet
        kept = int(_ask(url, self._connection, queue).get("messages", 1))
        return f"Queue {queue} keeps {kept} messages, which its consumers hold." if kept else ""

    def _figures(self, queue: str) -> tuple[int, int]:
        """Ready messages and consumers. Both are 0 where the queue does not answer RabbitMQ within 0.25 s
        (rabbit_quorum_queue:stat), which consumers of our own tell from an empty queue."""
        with _channel(self._connection) as channel:
            declared = channel.queue_declare(queue, passive=True)
        return declared.message_count, declared.consumer_count

    def _quiet_seconds(self, kept_in: Callable[[str], str]) -> float:
        is_by_statistics = kept_in == self._kept and settings.ENVIRONMENT.rabbitmq_management_url
        return 2 * STATISTICS_SECONDS if is_by_statistics else SETTLE_SECONDS


class _Mover:
    """Moves messages from a queue to an exchange that routes all of them to one queue."""

    def __init__(self, source: str, exchange: str) -> None:
        self._source, self._exchange = source, exchange
        self._reader = QueueReader("move", [ChannelSpec((source,), prefetch=BATCH)])
        self._publisher = ConfirmedPublisher("move")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Messages in between return to the queue."""
        self._reader.close()
        self._publisher.close()

    def move(self) -> int:
        """Moves some messages; 0 if none is ready. Raises QueueInUse where the target is full, BrokerUnavailable."""
        moved = 0
        self._publisher.keep_alive()
        while moved < ROUND and (messages := self._reader.take(BATCH, seconds=POLL_SECONDS)):
            outcome = self._publisher.publish([_copy(message, self._exchange) for message in messages])
            if outcome.error is not None:
                raise outcome.error
            if any(verdict is not Verdict.CONFIRMED for verdict in outcome.verdicts):
                raise QueueInUse(
                    f"The successor takes no more messages; the rest waits in {self._source}. Let its "
                    "consumers work, and run this again."
                )
            self._reader.ack(messages)
            moved += len(messages)
        return moved


def _channel(connection: Connection) -> Any:
    return connection.channel()


def _copy(message: Any, exchange: str) -> Outgoing:
    """The message as it is, with its routing key."""
    properties = {name: value for name, value in message.properties.items() if name != "application_headers"}
    # RabbitMQ refuses a user id that is not this connection's.
    properties.pop("user_id", None)
    message_id = str(properties.setdefault("message_id", f"unnamed-{time.monotonic_ns()}"))
    key, headers = message.delivery_info["routing_key"], without_broker_headers(message.headers)
    return Outgoing(message_id, exchange, key, sendable(body_of(message), headers, {}, properties))


def _bind_exchange(channel: Any, queue: str, exchange: str) -> None:
    channel.exchange_declare(exchange, "fanout", durable=True, auto_delete=False)
    channel.queue_bind(queue, exchange, "")


def _has_other_arguments(connection: Connection, spec: QueueSpec) -> bool:
    if not _exists(connection, spec.name):
        return False
    try:
        with _channel(connection) as channel:
            channel.queue_declare(spec.name, durable=True, exclusive=False, auto_delete=False, arguments=spec.arguments)
    except PreconditionFailed:
        return True
    return False


def _exists(connection: Connection, queue: str) -> bool:
    try:
        with _channel(connection) as channel:
            channel.queue_declare(queue, passive=True)
    except NotFound:
        return False
    return True


def _ask(management_url: str, connection: Connection, queue: str, what: str = "") -> Any:
    where = f"{quote(connection.virtual_host, safe='')}/{quote(queue, safe='')}{what}"
    response = requests.get(f"{management_url.rstrip('/')}/api/queues/{where}", timeout=MANAGEMENT_SECONDS)
    response.raise_for_status()
    return response.json()


@contextmanager
def _locked(wait_seconds: float) -> Iterator[Connection]:
    """One process at a time: RabbitMQ deletes an exclusive queue with its connection. Raises QueueInUse."""
    deadline = time.monotonic() + wait_seconds
    connection = connect("topology")
    try:
        while not _lock(connection):
            if time.monotonic() > deadline:
                raise QueueInUse("Another process replaces queues; wait for its end, and run this again.")
            time.sleep(POLL_SECONDS)
        yield connection
    except CONNECTION_ERRORS as error:
        raise unavailable(error) from error
    finally:
        release(connection)


def _lock(connection: Connection) -> bool:
    try:
        with _channel(connection) as channel:
            channel.queue_declare(LOCK, exclusive=True, auto_delete=False)
    except ResourceLocked:
        return False
    return True
