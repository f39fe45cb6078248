"""Dead-letter queues of RabbitMQ: `<queue>.dlq` holds the messages of `<queue>` that used up their attempts.

Every operation reads all messages of the queue and requeues the rest in order. A message is acknowledged only after
RabbitMQ has confirmed its redrive. A command that is finished, or in progress again, is not sent a second time; an
invalid message is not sent at all.
"""

import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

import amqp
import orjson

from apps.core.errors import NotFound
from apps.events.brokers.rabbitmq.connection import CONNECTION_ERRORS, connect, release, unavailable
from apps.events.brokers.rabbitmq.headers import ATTEMPT, DEAD_AT, DEAD_QUEUE, DEAD_REASON, DEFERRALS
from apps.events.brokers.rabbitmq.inspection import rejection_reason
from apps.events.brokers.rabbitmq.messages import Outgoing, can_be_sent
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.events.brokers.rabbitmq.reader import body_of
from apps.events.brokers.topology import rabbitmq as topology
from apps.events.commands import executions
from apps.events.commands.dead_letters.locked_queue import LockedQueue, UnackedMessage, died_at, lock_queue
from apps.events.commands.dead_letters.presentation import dead_letter_of, headers_in, id_of, inbound_of
from apps.events.commands.executions import Redrive
from apps.events.consumers.dead_letters import DeadLetter, Filters, OnDeadLetter, RateLimiter, RedriveOutcome
from apps.events.consumers.dead_letters.audit_event import publish_audit_event
from apps.messages.audit import DeadLettersPurged, DeadLettersRedriven
from apps.messages.base import Command, Status

# Headers of the last death, and properties that instruct the broker and must not be repeated.
_NOT_REDRIVEN = {
    DEAD_AT,
    DEAD_QUEUE,
    DEAD_REASON,
    DEFERRALS,
    "CC",
    "BCC",
    "application_headers",
    "user_id",
    "expiration",
}

# RabbitMQ closes the channel of a client that holds a message unacknowledged for half an hour (consumer_timeout).
LOCK_SECONDS = 600.0

# Identifies one death of one message: message id and time.
DeathId = tuple[str, datetime | None]
Result = Literal["sent", "failed", "settled"]


def sources() -> list[str]:
    work = [*topology.queue_names(Command), *topology.queue_names(Status)]
    return [topology.dead_letter_queue(queue) for queue in sorted([*work, topology.FAILURES])]


def count(source: str) -> int:
    """Number of messages in the queue, without those that another process has locked. Raises BrokerUnavailable."""
    connection = connect("dead-letters")
    try:
        channel: Any = connection.channel()
        return int(channel.queue_declare(source, passive=True).message_count)
    except CONNECTION_ERRORS as error:
        raise unavailable(error) from error
    finally:
        release(connection)


def find(source: str, filters: Filters) -> Iterator[DeadLetter]:
    """The dead letters that match, oldest first. Raises BrokerUnavailable, DeadLettersInUse."""
    with lock_queue(source) as locked:
        yield from (dead_letter_of(source, each.message) for each in _oldest(locked, source, filters))


def show(source: str, letter_id: str) -> DeadLetter:
    """Raises NotFound, BrokerUnavailable, DeadLettersInUse."""
    for letter in find(source, Filters()):
        if letter.letter_id == letter_id:
            return letter
    raise NotFound(f"{source} has no dead letter {letter_id}.")


def redrive(
    source: str, filters: Filters, *, rate: float | None, dry_run: bool, operator: str, progress: OnDeadLetter
) -> RedriveOutcome:
    """Sends dead letters back to their work queue, oldest first, as their first attempt.

    Raises BrokerUnavailable, DeadLettersInUse, DatabaseError; messages that were sent before stay sent.
    """
    run = _Redrive(source, rate=rate, dry_run=dry_run, operator=operator, progress=progress)
    try:
        with lock_queue(source) as locked:
            left = run.go(locked, _oldest(locked, source, filters))
        while left:
            # A message that died again meanwhile has another time of death, so it is not redriven twice.
            with lock_queue(source) as locked:
                left = run.go(locked, locked.oldest(partial(_is_one_of, set(left)), None))
    finally:
        run.close()
        if run.results["sent"] and not dry_run:
            publish_audit_event(DeadLettersRedriven, source, filters, run.results["sent"], operator)
    return RedriveOutcome(redriven=run.results["sent"], failed=run.results["failed"], left=run.results["failed"])


def purge(source: str, filters: Filters, *, dry_run: bool, operator: str) -> int:
    """Deletes dead letters. Commands stay failed, and the event store keeps everything. Returns how many."""
    purged = 0
    try:
        with lock_queue(source) as locked:
            for each in _oldest(locked, source, filters):
                if not dry_run:
                    locked.ack(each)
                purged += 1
    finally:
        if purged and not dry_run:
            publish_audit_event(DeadLettersPurged, source, filters, purged, operator)
    return purged


class _Redrive:
    def __init__(
        self, source: str, *, rate: float | None, dry_run: bool, operator: str, progress: OnDeadLetter
    ) -> None:
        self._source = source
        self._queue = source.removesuffix(".dlq")
        self._limiter = RateLimiter(rate)
        self._dry_run = dry_run
        self._operator = operator
        self._progress = progress
        self._publisher = ConfirmedPublisher("redrive")
        self.results: dict[Result, int] = {"sent": 0, "failed": 0, "settled": 0}

    def go(self, locked: LockedQueue, messages: list[UnackedMessage]) -> list[DeathId]:
        """Redrives these messages, for LOCK_SECONDS at most. Returns the ids of those that are left."""
        until = time.monotonic() + LOCK_SECONDS
        for number, each in enumerate(messages, start=1):
            self._limiter.wait(meanwhile=lambda: self._keep_alive(locked))
            result, words = self._redrive_one(each.message)
            self.results[result] += 1
            if result != "failed" and not self._dry_run:
                locked.ack(each)
            self._progress(dead_letter_of(self._source, each.message), words)
            if time.monotonic() >= until:
                return [_death_id(later.message) for later in messages[number:]]
        return []

    def close(self) -> None:
        self._publisher.close()

    def _redrive_one(self, message: Any) -> tuple[Result, str]:
        """Redrives one message. Returns the result, and a text that describes it."""
        again = _as_first_attempt(self._queue, message)
        if obstacle := _obstacle(self._source, message, again):
            return "failed", f"left: {obstacle}"
        if self._queue in topology.queue_names(Command):
            answer = self._ask(UUID(orjson.loads(body_of(message))[1]["command_id"]))
            if answer is not Redrive.READY:
                return "settled", f"{'would be ' if self._dry_run else ''}dropped: the command is {answer}"
        if self._dry_run:
            return "sent", "would be sent"
        outcome = self._publisher.publish([again])
        if outcome.error is not None:
            raise outcome.error
        if outcome.verdicts[0] is not Verdict.CONFIRMED:
            return "failed", f"left: {outcome.verdicts[0]}"
        return "sent", "sent"

    def _ask(self, command_id: UUID) -> Redrive:
        if self._dry_run:
            return executions.may_redrive(command_id)
        return executions.redrive(command_id, operator=self._operator)

    def _keep_alive(self, locked: LockedQueue) -> None:
        locked.keep_alive()
        if not self._dry_run:
            self._publisher.keep_alive()


def _obstacle(source: str, message: Any, again: Outgoing) -> str:
    """Why a redrive cannot succeed; empty if it can."""
    if source == topology.dead_letter_queue(topology.FAILURES):
        return "it comes from no queue of this platform"
    if reason := rejection_reason(inbound_of(source, message)):
        return f"it can never be handled. {reason}"
    return "" if can_be_sent(again.message) else "its headers can be read, and not sent again"


def _as_first_attempt(queue: str, message: Any) -> Outgoing:
    headers = {name: value for name, value in headers_in(message).items() if name not in _NOT_REDRIVEN}
    properties = {name: value for name, value in message.properties.items() if name not in _NOT_REDRIVEN}
    again = amqp.Message(body_of(message), application_headers=headers | {ATTEMPT: 1}, **properties)
    return Outgoing(id_of(message), topology.COMMANDS, queue, again)


def _death_id(message: Any) -> DeathId:
    return id_of(message), died_at(message)


def _is_one_of(names: set[DeathId], message: Any) -> bool:
    return _death_id(message) in names


def _oldest(locked: LockedQueue, source: str, filters: Filters) -> list[UnackedMessage]:
    return locked.oldest(lambda message: _matches(dead_letter_of(source, message), filters), filters.limit)


def _matches(letter: DeadLetter, filters: Filters) -> bool:
    died_at = letter.died_at
    return (
        (filters.event_type is None or letter.event_type == filters.event_type)
        and (filters.key is None or letter.key == filters.key)
        and (filters.error is None or filters.error.lower() in letter.error.lower())
        and (filters.since is None or (died_at is not None and died_at >= filters.since))
        and (filters.until is None or (died_at is not None and died_at < filters.until))
    )
