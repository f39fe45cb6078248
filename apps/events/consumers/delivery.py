"""Events to one group's handler: each once, in one transaction with the proof that it was handled."""

from collections.abc import Sequence
from uuid import UUID

import structlog
from django.db import connection, transaction

from apps.core.context import message_context
from apps.events.consumers.registry import BatchHandler, registrations_for
from apps.messages.envelope import Envelope

logger = structlog.get_logger(__name__)

_ENTER = """
INSERT INTO inbox (consumer, event_id, processed_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING
"""
# Sorted: two processes that hand over overlapping batches wait for each other and do not deadlock.
_ENTER_MANY = """
INSERT INTO inbox (consumer, event_id, processed_at)
SELECT %s, event_id, now() FROM unnest(%s::uuid[]) AS event_id ORDER BY event_id
ON CONFLICT DO NOTHING RETURNING event_id
"""


def deliver(envelope: Envelope, *, group: str) -> bool:
    """Calls the group's handler, if the event was not handled before. True if it is handled now.

    False if it was handled before; if the group does not listen to it, for a newer service may publish what this one
    does not know; or if it is replayed and the handler acts outside our database, which a replay must not repeat.
    Raises InvalidPayload and whatever the handler raises; then nothing has changed.
    """
    registration = registrations_for(group).get((envelope.event_type, envelope.schema_version))
    if registration is None:
        return False
    if envelope.is_replay and registration.has_outside_effects:
        logger.info("A replayed event was refused.", group=group, event_type=envelope.event_type)
        return False
    message = envelope.message()
    context = message_context(
        correlation_id=envelope.correlation_id, causation_id=envelope.event_id, traceparent=envelope.traceparent
    )
    with context, transaction.atomic():
        if not _enter_inbox(group, envelope):
            return False
        registration.call(message, envelope)
    return True


def deliver_batch(envelopes: Sequence[Envelope], *, group: str) -> int:
    """Calls the group's batch handler once with those of the events that were not handled before, in the given order.

    All events must have the same batch handler (`batch_handler_of`). Returns how many were new. Raises InvalidPayload
    and whatever the handler raises; then none is handled and nothing has changed.
    """
    handler = batch_handler_of(envelopes[0], group=group)
    assert handler is not None
    messages = {envelope.event_id: (envelope.message(), envelope) for envelope in envelopes}
    with transaction.atomic():
        new = _enter_inbox_many(group, list(messages))
        batch = [pair for event_id, pair in messages.items() if event_id in new]
        if batch:
            handler(batch)
    return len(batch)


def batch_handler_of(envelope: Envelope, *, group: str) -> BatchHandler | None:
    """The function that takes this event among others; None where the group takes it alone or not at all."""
    registration = registrations_for(group).get((envelope.event_type, envelope.schema_version))
    return registration.batch_handler if registration else None


def _enter_inbox(group: str, envelope: Envelope) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_ENTER, [group, envelope.event_id])
        return bool(cursor.rowcount)


def _enter_inbox_many(group: str, event_ids: list[UUID]) -> set[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_ENTER_MANY, [group, event_ids])
        return {event_id for (event_id,) in cursor.fetchall()}
