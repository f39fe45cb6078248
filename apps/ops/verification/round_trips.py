"""One command and one event on their real ways: event store, outbox, broker, worker or consumer, database."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DatabaseError, transaction

from apps.core.ids import new_id
from apps.events.models import CommandExecution, InboxEntry, OutboxRow
from apps.events.store.publish import dispatch, publish
from apps.messages.base import Transport
from apps.messages.probes import PlatformProbed, RunProbe
from apps.ops.consumers import PROBES
from apps.ops.verification.outcome import Outcome, problem

POLL_SECONDS = 0.05


def round_trips(now: datetime, *, seconds: float) -> Iterator[Outcome]:
    """Both start at once; each has `seconds` to arrive. A command that is late has expired, and is dropped unread."""
    try:
        with transaction.atomic():
            probe_id, expires_at = new_id(), now + timedelta(seconds=seconds)
            ordered = RunProbe(command_id=new_id(), probe_id=probe_id, requested_at=now, expires_at=expires_at)
            command_id = dispatch(ordered, now=now)
            event_id = publish(PlatformProbed(probe_id=probe_id, probed_at=now), now=now)
        done = CommandExecution.objects.filter(command_id=command_id, state=CommandExecution.State.DONE)
        handled = InboxEntry.objects.filter(consumer=PROBES, event_id=event_id)
        command_took, event_took = _arrivals((done.exists, handled.exists), seconds)
        yield _command(command_id, command_took)
        yield _event(event_id, event_took)
    except DatabaseError as error:
        detail = f"The event store does not take or show it: {type(error).__name__}."
        yield problem("round trips", detail, "See the check of PostgreSQL, and run `manage.py setup_database`.")


def _arrivals(conditions: Sequence[Callable[[], bool]], seconds: float) -> list[float | None]:
    """After how many seconds from now each condition held."""
    began = time.monotonic()
    took: list[float | None] = [None] * len(conditions)
    while None in took and time.monotonic() - began < seconds:
        time.sleep(POLL_SECONDS)
        for number, holds in enumerate(conditions):
            if took[number] is None and holds():
                took[number] = time.monotonic() - began
    return took


def _command(command_id: UUID, took: float | None) -> Outcome:
    check = "round trip of a command"
    if took is not None:
        return Outcome(check, True, f"{took * 1000:.0f} ms to the end of a worker's task")
    if _waits(command_id, Transport.RABBITMQ):
        return problem(check, "It waits in the outbox.", "See the dispatcher, and whether RabbitMQ takes messages.")
    found = CommandExecution.objects.filter(command_id=command_id).first()
    if found is None:
        return problem(check, "It lies in the queue platform.probe.", "Start a worker, or one more if they are busy.")
    return problem(check, f"Its execution is {found.state}: {found.reason}.", "See the log of the worker.")


def _event(event_id: UUID, took: float | None) -> Outcome:
    check = "round trip of an event"
    if took is not None:
        return Outcome(check, True, f"{took * 1000:.0f} ms to the end of a consumer's transaction")
    if _waits(event_id, Transport.KAFKA):
        return problem(check, "It waits in the outbox.", "See the relay, and whether Kafka takes events.")
    return problem(check, f"It lies in Kafka; the group {PROBES} has not handled it.", "See event-consumer.")


def _waits(event_id: UUID, transport: Transport) -> bool:
    return OutboxRow.objects.filter(event_id=event_id, transport=transport).exists()
