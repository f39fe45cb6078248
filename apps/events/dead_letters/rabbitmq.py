"""Messages that have used up their attempts, in the queue `<queue>.dlq` of the queue that gave them up.

Looking takes a message out and gives it back unacknowledged; one leaves for good only once RabbitMQ has confirmed where
it went. A command whose row says that it is finished, or on its way again, is not sent a second time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import amqp
import orjson

from apps.core.errors import NotFound
from apps.events import executions
from apps.events.amqp_headers import ATTEMPT, DEAD_AT, DEAD_QUEUE, DEAD_REASON, DEFERRALS, PREFIX, attempt_of
from apps.events.catalogue import Command, Status
from apps.events.catalogue.audit import DeadLettersPurged, DeadLettersRedriven
from apps.events.dead_letters import Filters, Letter, Outcome, Pace, Progress
from apps.events.dead_letters.announcement import announce
from apps.events.executions import Redrive
from apps.events.rabbitmq import ConfirmedPublisher, Outgoing, Verdict, connect, release
from apps.events.rabbitmq.connection import CONNECTION_ERRORS, unavailable
from apps.events.topology import rabbitmq as topology

Fate = Literal["sent", "failed", "settled"]


def sources() -> list[str]:
    work = [*topology.queue_names(Command), *topology.queue_names(Status)]
    return [topology.dead_letter_queue(queue) for queue in sorted([*work, topology.FAILURES])]


def count(source: str) -> int:
    """Raises BrokerUnavailable."""
    with _channel() as channel:
        return int(channel.queue_declare(source, passive=True).message_count)


def letters(source: str, filters: Filters) -> Iterator[Letter]:
    """What lies there, oldest first. Raises BrokerUnavailable."""
    with _channel() as channel:
        yield from (_letter(source, message) for message in _matching(channel, source, filters))


def show(source: str, letter_id: str) -> Letter:
    """Raises NotFound, BrokerUnavailable."""
    for letter in letters(source, Filters()):
        if letter.letter_id == letter_id:
            return letter
    raise NotFound(f"{source} has no dead letter {letter_id}.")


def redrive(
    source: str, filters: Filters, *, rate: float | None, dry_run: bool, operator: str, progress: Progress
) -> Outcome:
    """Sends letters back to the queue that gave them up, as their first attempt. Raises BrokerUnavailable,
    DatabaseError; what was sent by then is sent."""
    pace, publisher = Pace(rate), ConfirmedPublisher("redrive")
    fates: dict[Fate, int] = {"sent": 0, "failed": 0, "settled": 0}
    try:
        with _channel() as channel:
            for message in _matching(channel, source, filters):
                pace.wait()
                fate, words = _redrive_one(publisher, source, message, dry_run=dry_run, operator=operator)
                fates[fate] += 1
                if fate != "failed" and not dry_run:
                    channel.basic_ack(message.delivery_tag)
                progress(_letter(source, message), words)
    finally:
        publisher.close()
        if fates["sent"] and not dry_run:
            announce(DeadLettersRedriven, source, filters, fates["sent"], operator)
    return Outcome(redriven=fates["sent"], failed=fates["failed"], left=fates["failed"])


def purge(source: str, filters: Filters, *, dry_run: bool, operator: str) -> int:
    """Throws letters away. Commands stay failed, and everything stays in the event store. Returns how many."""
    purged = 0
    try:
        with _channel() as channel:
            for message in _matching(channel, source, filters):
                if not dry_run:
                    channel.basic_ack(message.delivery_tag)
                purged += 1
    finally:
        if purged and not dry_run:
            announce(DeadLettersPurged, source, filters, purged, operator)
    return purged


def _redrive_one(
    publisher: ConfirmedPublisher, source: str, message: Any, *, dry_run: bool, operator: str
) -> tuple[Fate, str]:
    """What becomes of one letter, and the words for it."""
    queue = source.removesuffix(".dlq")
    if queue == topology.FAILURES:
        return "failed", "left: no queue of ours has sent it"
    if queue in topology.queue_names(Command):
        command_id = _command_id(message)
        if command_id is None:
            return "failed", "left: it cannot be read"
        answer = executions.may_redrive(command_id) if dry_run else executions.redrive(command_id, operator=operator)
        if answer is not Redrive.READY:
            return "settled", f"{'would be ' if dry_run else ''}dropped: the command is {answer}"
    if dry_run:
        return "sent", "would be sent"
    outcome = publisher.publish([_as_first_attempt(queue, message)])
    if outcome.error is not None:
        raise outcome.error
    if outcome.verdicts[0] is not Verdict.CONFIRMED:
        return "failed", f"left: {outcome.verdicts[0]}"
    return "sent", "sent"


def _as_first_attempt(queue: str, message: Any) -> Outgoing:
    headers = {
        name: value
        for name, value in message.properties.get("application_headers", {}).items()
        if name not in (DEAD_AT, DEAD_QUEUE, DEAD_REASON, DEFERRALS)
    }
    properties = {name: value for name, value in message.properties.items() if name != "application_headers"}
    again = amqp.Message(_body(message), application_headers=headers | {ATTEMPT: 1}, **properties)
    return Outgoing(_id_of(message), topology.COMMANDS, queue, again)


@contextmanager
def _channel() -> Iterator[Any]:
    """A channel; whatever was taken and not acknowledged goes back when it closes, in its old order."""
    connection = connect("dead-letters")
    try:
        yield connection.channel()
    except CONNECTION_ERRORS as error:
        raise unavailable(error) from error
    finally:
        release(connection)


def _matching(channel: Any, source: str, filters: Filters) -> Iterator[Any]:
    """Each message that lay there at the beginning and fits. Those that do not fit stay taken until the channel closes,
    or they would come again at once."""
    there = int(channel.queue_declare(source, passive=True).message_count)
    found = 0
    for _ in range(there):
        message = channel.basic_get(source)
        if message is None or (filters.limit is not None and found >= filters.limit):
            return
        if _fits(_letter(source, message), filters):
            found += 1
            yield message


def _fits(letter: Letter, filters: Filters) -> bool:
    died_at = letter.died_at
    return (
        (filters.event_type is None or letter.event_type == filters.event_type)
        and (filters.key is None or letter.key == filters.key)
        and (filters.error is None or filters.error.lower() in letter.error.lower())
        and (filters.since is None or (died_at is not None and died_at >= filters.since))
        and (filters.until is None or (died_at is not None and died_at < filters.until))
    )


def _letter(source: str, message: Any) -> Letter:
    headers: dict[str, Any] = message.properties.get("application_headers", {})
    died_at = headers.get(DEAD_AT)
    return Letter(
        letter_id=_id_of(message),
        source=source,
        event_type=str(headers.get(f"{PREFIX}type") or headers.get("task") or "unknown"),
        event_id=_uuid(headers.get(f"{PREFIX}id")),
        key=_uuid(headers.get(f"{PREFIX}partitionkey")),
        reason="failed",
        error=str(headers.get(DEAD_REASON, "")),
        attempts=attempt_of(headers),
        died_at=datetime.fromisoformat(died_at) if died_at else None,
        content={
            "headers": {name: str(value) for name, value in sorted(headers.items())},
            "body": _body(message).decode(errors="replace"),
        },
    )


def _command_id(message: Any) -> UUID | None:
    try:
        return UUID(orjson.loads(_body(message))[1]["command_id"])
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _id_of(message: Any) -> str:
    return str(message.properties.get("message_id") or "unnamed")


def _body(message: Any) -> bytes:
    body = message.body
    return body.encode() if isinstance(body, str) else bytes(body or b"")


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
