"""Messages that have used up their attempts, in the queue `<queue>.dlq` of the queue that gave them up.

Looking takes all messages out and gives them back in order; one leaves for good only once RabbitMQ has confirmed where
it went. A command whose row says that it is finished, or on its way again, is not sent a second time, and what no
process of ours can have sent is not sent at all.
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
from apps.events.brokers.rabbitmq.inspection import fault_of
from apps.events.brokers.rabbitmq.messages import Outgoing, can_be_sent
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.events.brokers.rabbitmq.reader import body_of
from apps.events.brokers.topology import rabbitmq as topology
from apps.events.commands import executions
from apps.events.commands.dead_letters.hold import Held, Hold, died_at, hold
from apps.events.commands.dead_letters.reading import headers_in, id_of, inbound_of, letter_of
from apps.events.commands.executions import Redrive
from apps.events.consumers.dead_letters import Filters, Letter, Outcome, Pace, Progress
from apps.events.consumers.dead_letters.announcement import announce
from apps.messages.audit import DeadLettersPurged, DeadLettersRedriven
from apps.messages.base import Command, Status

# Notes on the last death, and orders to the broker that are not ours to repeat.
_LEFT_OUT = {DEAD_AT, DEAD_QUEUE, DEAD_REASON, DEFERRALS, "CC", "BCC", "application_headers", "user_id", "expiration"}

# RabbitMQ closes the channel of a client that has not answered for half an hour (consumer_timeout).
HOLD_SECONDS = 600.0

# Of one death of one message.
Name = tuple[str, datetime | None]
Fate = Literal["sent", "failed", "settled"]


def sources() -> list[str]:
    work = [*topology.queue_names(Command), *topology.queue_names(Status)]
    return [topology.dead_letter_queue(queue) for queue in sorted([*work, topology.FAILURES])]


def count(source: str) -> int:
    """How many lie there, less those that another process has in hand. Raises BrokerUnavailable."""
    connection = connect("dead-letters")
    try:
        channel: Any = connection.channel()
        return int(channel.queue_declare(source, passive=True).message_count)
    except CONNECTION_ERRORS as error:
        raise unavailable(error) from error
    finally:
        release(connection)


def letters(source: str, filters: Filters) -> Iterator[Letter]:
    """What lies there, oldest first. Raises BrokerUnavailable, DeadLettersInUse."""
    with hold(source) as held:
        yield from (letter_of(source, each.message) for each in _oldest(held, source, filters))


def show(source: str, letter_id: str) -> Letter:
    """Raises NotFound, BrokerUnavailable, DeadLettersInUse."""
    for letter in letters(source, Filters()):
        if letter.letter_id == letter_id:
            return letter
    raise NotFound(f"{source} has no dead letter {letter_id}.")


def redrive(
    source: str, filters: Filters, *, rate: float | None, dry_run: bool, operator: str, progress: Progress
) -> Outcome:
    """Sends letters back to the queue that gave them up, oldest first, as their first attempt. Raises
    BrokerUnavailable, DeadLettersInUse, DatabaseError; what was sent by then is sent."""
    run = _Redrive(source, rate=rate, dry_run=dry_run, operator=operator, progress=progress)
    try:
        with hold(source) as held:
            left = run.go(held, _oldest(held, source, filters))
        while left:
            # What has died again meanwhile is another letter: its time is another one.
            with hold(source) as held:
                left = run.go(held, held.oldest(partial(_is_one_of, set(left)), None))
    finally:
        run.close()
        if run.fates["sent"] and not dry_run:
            announce(DeadLettersRedriven, source, filters, run.fates["sent"], operator)
    return Outcome(redriven=run.fates["sent"], failed=run.fates["failed"], left=run.fates["failed"])


def purge(source: str, filters: Filters, *, dry_run: bool, operator: str) -> int:
    """Throws letters away. Commands stay failed, and everything stays in the event store. Returns how many."""
    purged = 0
    try:
        with hold(source) as held:
            for each in _oldest(held, source, filters):
                if not dry_run:
                    held.let_go(each)
                purged += 1
    finally:
        if purged and not dry_run:
            announce(DeadLettersPurged, source, filters, purged, operator)
    return purged


class _Redrive:
    def __init__(self, source: str, *, rate: float | None, dry_run: bool, operator: str, progress: Progress) -> None:
        self._source = source
        self._queue = source.removesuffix(".dlq")
        self._pace = Pace(rate)
        self._dry_run = dry_run
        self._operator = operator
        self._progress = progress
        self._publisher = ConfirmedPublisher("redrive")
        self.fates: dict[Fate, int] = {"sent": 0, "failed": 0, "settled": 0}

    def go(self, held: Hold, wanted: list[Held]) -> list[Name]:
        """Deals with these letters, for as long as they may be held. The names of those that are left."""
        until = time.monotonic() + HOLD_SECONDS
        for number, each in enumerate(wanted, start=1):
            self._pace.wait(meanwhile=lambda: self._keep_alive(held))
            fate, words = self._redrive_one(each.message)
            self.fates[fate] += 1
            if fate != "failed" and not self._dry_run:
                held.let_go(each)
            self._progress(letter_of(self._source, each.message), words)
            if time.monotonic() >= until:
                return [_name(later.message) for later in wanted[number:]]
        return []

    def close(self) -> None:
        self._publisher.close()

    def _redrive_one(self, message: Any) -> tuple[Fate, str]:
        """What becomes of one letter, and the words for it."""
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

    def _keep_alive(self, held: Hold) -> None:
        held.keep_alive()
        if not self._dry_run:
            self._publisher.keep_alive()


def _obstacle(source: str, message: Any, again: Outgoing) -> str:
    """Why it would only come back, if it would."""
    if source == topology.dead_letter_queue(topology.FAILURES):
        return "no queue of ours has sent it"
    if fault := fault_of(inbound_of(source, message)):
        return f"it can never be handled. {fault}"
    return "" if can_be_sent(again.message) else "its headers can be read, and not sent again"


def _as_first_attempt(queue: str, message: Any) -> Outgoing:
    headers = {name: value for name, value in headers_in(message).items() if name not in _LEFT_OUT}
    properties = {name: value for name, value in message.properties.items() if name not in _LEFT_OUT}
    again = amqp.Message(body_of(message), application_headers=headers | {ATTEMPT: 1}, **properties)
    return Outgoing(id_of(message), topology.COMMANDS, queue, again)


def _name(message: Any) -> Name:
    return id_of(message), died_at(message)


def _is_one_of(names: set[Name], message: Any) -> bool:
    return _name(message) in names


def _oldest(held: Hold, source: str, filters: Filters) -> list[Held]:
    return held.oldest(lambda message: _fits(letter_of(source, message), filters), filters.limit)


def _fits(letter: Letter, filters: Filters) -> bool:
    died_at = letter.died_at
    return (
        (filters.event_type is None or letter.event_type == filters.event_type)
        and (filters.key is None or letter.key == filters.key)
        and (filters.error is None or filters.error.lower() in letter.error.lower())
        and (filters.since is None or (died_at is not None and died_at >= filters.since))
        and (filters.until is None or (died_at is not None and died_at < filters.until))
    )
