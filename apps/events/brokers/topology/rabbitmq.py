"""RabbitMQ exchanges and queues, derived from the message classes. Arguments are valid on RabbitMQ 3.10 and 4.x.

    muckard.commands ─▶ bot.start ──(rejected)─▶ muckard.failures ─▶ retry router
    muckard.status ───▶ bot.started ─(rejected)─┘                     ├▶ muckard.retry.5s ─(TTL)─▶ muckard.commands
                                                                      └▶ muckard.dead ─▶ bot.start.dlq

Each queue dead-letters with its own name as routing key, and `muckard.commands` routes by queue name: a retry reaches
the queue that failed and no other subscriber. High-priority queues have failure and retry queues of their own
(`muckard.failures.high`, `muckard.retry.high.5s`), so that failures of other messages cannot delay theirs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests
from amqp.exceptions import NotFound, PreconditionFailed
from django.conf import settings
from kombu import Connection

from apps.events.brokers.topology import Finding, State
from apps.messages.base import Command, Message, Priority, Status, WakeUp, all_messages

# Incremented when arguments change. RabbitMQ refuses changed arguments of an existing queue (406) until the queue is
# drained and deleted; docs/rabbitmq.md says how.
VERSION = 2

COMMANDS = "muckard.commands"
STATUS = "muckard.status"
FAILURES = "muckard.failures"
DEAD = "muckard.dead"
MARKER = f"muckard.topology.v{VERSION}"

MAX_LENGTH = 100_000
# Above the attempts of a command, because each lost connection counts as a delivery of every unacknowledged message. A
# message that reaches the limit goes to the retry router, which only retries it.
DELIVERY_LIMIT = 20
# Reading a dead letter counts as a delivery, and RabbitMQ 4 drops a message after 20 by default.
NO_DELIVERY_LIMIT = 1_000_000_000

WAKE_UP_TTL_MS = 10_000
WAKE_UP_MAX_LENGTH = 10_000

MANAGEMENT_SECONDS = 10

QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
# A message is removed only after the target queue has confirmed it. Requires a quorum queue with reject-publish.
AT_LEAST_ONCE: dict[str, Any] = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


@dataclass(frozen=True)
class ExchangeSpec:
    name: str
    kind: str


@dataclass(frozen=True)
class QueueSpec:
    """A durable queue and its bindings as (exchange, routing key)."""

    name: str
    arguments: dict[str, Any] = field(hash=False)
    bindings: tuple[tuple[str, str], ...]


def failures_name(priority: Priority) -> str:
    """Name of the exchange and of the queue for messages that a work queue has rejected."""
    return f"{FAILURES}{priority.suffix}"


def retry_name(seconds: int, priority: Priority) -> str:
    """Name of the exchange and of the queue of a retry delay. Another delay is another queue."""
    return f"muckard.retry{priority.suffix}.{seconds}s"


def dead_letter_queue(queue: str) -> str:
    return f"{queue}.dlq"


def exchanges() -> list[ExchangeSpec]:
    return [
        ExchangeSpec(COMMANDS, "direct"),
        ExchangeSpec(STATUS, "topic"),
        *(ExchangeSpec(failures_name(priority), "fanout") for priority in Priority),
        ExchangeSpec(DEAD, "direct"),
        *(ExchangeSpec(retry_name(*delay), "fanout") for delay in _retry_delays()),
    ]


def queues() -> list[QueueSpec]:
    """All queues; a queue comes before those that dead-letter to it."""
    work = [queue for message in rabbitmq_messages() for queue in _queues_of(message)]
    failures = [_failures(priority) for priority in Priority]
    return [*failures, _dead(FAILURES), *(_retry_queue(*delay) for delay in _retry_delays()), *work]


def rabbitmq_messages() -> Iterator[type[Message]]:
    """Every command, status and wake-up message class, one per queue: versions of a message share its queue."""
    seen = set()
    for message in all_messages():
        if issubclass(message, Command | Status | WakeUp) and message.declaration.destination not in seen:
            seen.add(message.declaration.destination)
            yield message


def queue_names(kind: type[Message], *, priority: Priority | None = None) -> list[str]:
    """The queues of all messages of one kind; with `priority`, only those of that priority."""
    declarations = [message.declaration for message in rabbitmq_messages() if issubclass(message, kind)]
    return [each.destination for each in declarations if priority in (None, each.priority)]


def subscription(queue: str, *, keys: Iterable[str]) -> list[QueueSpec]:
    """The queues of a further subscriber to status messages, with retries and a dead-letter queue of its own.

    `keys` are topic patterns such as "bot.#". Pass the result to `declare`.
    """
    return [_dead(queue), _work(queue, ((STATUS, key) for key in keys))]


def declare(connection: Connection, *, more: Iterable[QueueSpec] = ()) -> list[Finding]:
    """Creates what is missing. An object with other arguments is reported and never replaced."""
    found = [_declare_exchange(connection, spec) for spec in exchanges()]
    found += [_declare_queue(connection, spec) for spec in [*queues(), *more]]
    if not any(finding.is_drift for finding in found):
        found.append(_declare_exchange(connection, ExchangeSpec(MARKER, "fanout")))
    return found


def check(connection: Connection) -> list[Finding]:
    """Compares the broker with the code. Creates nothing.

    AMQP cannot list bindings: they are compared only if MUCKARD_RABBITMQ_MANAGEMENT_URL is set. Raises
    requests.RequestException if the management plugin does not answer.
    """
    found = [_declare_exchange(connection, spec, only_check=True) for spec in exchanges()]
    found += [_declare_queue(connection, spec, only_check=True) for spec in queues()]
    management_url: str | None = settings.ENVIRONMENT.rabbitmq_management_url
    return found + (bindings_missing(management_url, connection.virtual_host) if management_url else [])


def bindings_missing(management_url: str, virtual_host: str) -> list[Finding]:
    """The expected bindings that the management plugin does not list."""
    address = f"{management_url.rstrip('/')}/api/bindings/{quote(virtual_host, safe='')}"
    response = requests.get(address, timeout=MANAGEMENT_SECONDS)
    response.raise_for_status()
    present = {(each["source"], each["destination"], each["routing_key"]) for each in response.json()}
    return [
        Finding(f"binding {exchange} -> {queue.name} ({key})", State.MISSING)
        for queue in queues()
        for exchange, key in queue.bindings
        if (exchange, queue.name, key) not in present
    ]


def _declare_exchange(connection: Connection, spec: ExchangeSpec, *, only_check: bool = False) -> Finding:
    def attempt(channel: Any, passive: bool) -> None:
        channel.exchange_declare(spec.name, spec.kind, passive=passive, durable=True, auto_delete=False)

    return _declare(connection, f"exchange {spec.name}", attempt, only_check)


def _declare_queue(connection: Connection, spec: QueueSpec, *, only_check: bool = False) -> Finding:
    def attempt(channel: Any, passive: bool) -> None:
        channel.queue_declare(
            spec.name, passive=passive, durable=True, exclusive=False, auto_delete=False, arguments=spec.arguments
        )
        if not only_check and not passive:
            for exchange, key in spec.bindings:
                channel.queue_bind(spec.name, exchange, key)

    return _declare(connection, f"queue {spec.name}", attempt, only_check)


def _declare(connection: Connection, what: str, attempt: Any, only_check: bool) -> Finding:
    """A passive declaration shows whether the object exists; an active one is refused if its arguments differ."""
    exists = True
    try:
        with connection.channel() as channel:
            attempt(channel, True)
    except NotFound:
        exists = False
    if not exists and only_check:
        return Finding(what, State.MISSING)
    try:
        with connection.channel() as channel:
            attempt(channel, False)
    except PreconditionFailed as error:
        return Finding(what, State.DIFFERS, str(error.reply_text))
    return Finding(what, State.OK if exists else State.CREATED)


def _retry_delays() -> list[tuple[int, Priority]]:
    return [
        (seconds, priority)
        for seconds in sorted(set(settings.ENVIRONMENT.retry_delays_seconds))
        for priority in Priority
    ]


def _queues_of(message: type[Message]) -> list[QueueSpec]:
    name = message.declaration.destination
    if issubclass(message, WakeUp):
        # A wake-up message is soon replaced by the next one: it is dropped when old, never retried or dead-lettered.
        limits = {"x-message-ttl": WAKE_UP_TTL_MS, "x-max-length": WAKE_UP_MAX_LENGTH, "x-overflow": "drop-head"}
        return [QueueSpec(name, QUORUM | limits | {"x-delivery-limit": DELIVERY_LIMIT}, ((COMMANDS, name),))]
    bindings = [(STATUS, name)] if issubclass(message, Status) else []
    return [_dead(name), _work(name, bindings, message.declaration.priority)]


def _work(name: str, bindings: Iterable[tuple[str, str]], priority: Priority = Priority.NORMAL) -> QueueSpec:
    arguments = {
        "x-dead-letter-exchange": failures_name(priority),
        "x-dead-letter-routing-key": name,
        "x-max-length": MAX_LENGTH,
        "x-delivery-limit": DELIVERY_LIMIT,
    }
    return QueueSpec(name, QUORUM | AT_LEAST_ONCE | arguments, ((COMMANDS, name), *bindings))


def _dead(queue: str) -> QueueSpec:
    # No length limit: a refused dead letter would block the retry router, and with it the retries of every queue.
    return QueueSpec(dead_letter_queue(queue), QUORUM | {"x-delivery-limit": NO_DELIVERY_LIMIT}, ((DEAD, queue),))


def _retry_queue(seconds: int, priority: Priority) -> QueueSpec:
    # One queue per delay: a quorum queue expires messages at its head only, so mixed delays would block each other.
    arguments = {"x-message-ttl": seconds * 1000, "x-dead-letter-exchange": COMMANDS, "x-max-length": MAX_LENGTH}
    name = retry_name(seconds, priority)
    return QueueSpec(name, QUORUM | AT_LEAST_ONCE | arguments, ((name, ""),))


def _failures(priority: Priority) -> QueueSpec:
    # A message that repeatedly crashes the retry router ends in the dead-letter queue of its work queue.
    arguments = {"x-dead-letter-exchange": DEAD, "x-max-length": MAX_LENGTH, "x-delivery-limit": DELIVERY_LIMIT}
    name = failures_name(priority)
    return QueueSpec(name, QUORUM | AT_LEAST_ONCE | arguments, ((name, ""),))
