"""Delivery of events to a group's handler, once each: handler and inbox entry share one transaction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.utils import timezone

from apps.core.context import message_context
from apps.core.tracing import Kind, span, spans_of
from apps.events.consumers import metrics
from apps.events.consumers.registry import BatchHandler, registrations_for
from apps.messages.envelope import Envelope

logger = structlog.get_logger(__name__)

_ENTER = """
INSERT INTO inbox (consumer, event_id, processed_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING
"""
# Sorted, so that two processes with overlapping batches wait for each other instead of deadlocking.
_ENTER_MANY = """
INSERT INTO inbox (consumer, event_id, processed_at)
SELECT %s, event_id, now() FROM unnest(%s::uuid[]) AS event_id ORDER BY event_id
ON CONFLICT DO NOTHING RETURNING event_id
"""


def deliver(envelope: Envelope, *, group: str) -> bool:
    """Calls the group's handler unless the event was handled before. Returns True if the handler ran.

    Returns False in three cases: the event was handled before; the group has no handler for it (a newer service may
    publish messages that this one does not know); or it is a replay and the handler has effects outside the database.
    Raises InvalidPayload and whatever the handler raises; the transaction is rolled back then.
    """
    registration = registrations_for(group).get((envelope.event_type, envelope.schema_version))
    if registration is None:
        return False
    if envelope.is_replay and registration.has_outside_effects:
        logger.info("replayed_event_skipped", group=group, event_type=envelope.event_type)
        return False
    message = envelope.message()
    with _context_of(envelope, group), transaction.atomic():
        if not _enter_inbox(group, envelope):
            return False
        registration.call(message, envelope)
    _note_delay([envelope], group)
    return True


def deliver_batch(envelopes: Sequence[Envelope], *, group: str) -> int:
    """Calls the group's batch handler once, with the events that were not handled before, in the given order.

    All events must have the same batch handler (`batch_handler_of`). Returns how many were new. Raises InvalidPayload
    and whatever the handler raises; the transaction is rolled back then and no event is handled.
    """
    handler = batch_handler_of(envelopes[0], group=group)
    assert handler is not None
    messages = {envelope.event_id: (envelope.message(), envelope) for envelope in envelopes}
    together = spans_of(
        [(_span_name(each), each.traceparent) for each in envelopes], kind=Kind.CONSUMER, clock=timezone.now
    )
    with together, transaction.atomic():
        new = _enter_inbox_many(group, list(messages))
        batch = [pair for event_id, pair in messages.items() if event_id in new]
        if batch:
            handler(batch)
    _note_delay([envelope for _, envelope in batch], group)
    return len(batch)


def batch_handler_of(envelope: Envelope, *, group: str) -> BatchHandler | None:
    """The batch handler of this event; None if the group handles it one at a time or not at all."""
    registration = registrations_for(group).get((envelope.event_type, envelope.schema_version))
    return registration.batch_handler if registration else None


@contextmanager
def _context_of(envelope: Envelope, group: str) -> Iterator[None]:
    """The ids of the event for what its handler publishes and logs, and a span of its trace."""
    trace = span(
        _span_name(envelope), kind=Kind.CONSUMER, parent=envelope.traceparent, group=group, event_id=envelope.event_id
    )
    with trace as traceparent, message_context(
        correlation_id=envelope.correlation_id, causation_id=envelope.event_id, traceparent=traceparent
    ), structlog.contextvars.bound_contextvars(group=group, **envelope.log_ids):  # fmt: skip
        yield


def _span_name(envelope: Envelope) -> str:
    return f"consume {envelope.event_type}"


def _note_delay(envelopes: Sequence[Envelope], group: str) -> None:
    now = timezone.now()
    for envelope in envelopes:
        if not envelope.is_replay:
            metrics.delay.labels(group).observe(max(0.0, (now - envelope.occurred_at).total_seconds()))


def _enter_inbox(group: str, envelope: Envelope) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_ENTER, [group, envelope.event_id])
        return bool(cursor.rowcount)


def _enter_inbox_many(group: str, event_ids: list[UUID]) -> set[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_ENTER_MANY, [group, event_ids])
        return {event_id for (event_id,) in cursor.fetchall()}
