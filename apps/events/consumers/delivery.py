"""One event to one group's handler: once, in one transaction with the proof that it was handled."""

import structlog
from django.db import connection, transaction

from apps.core.context import message_context
from apps.events.consumers.registry import registrations_for
from apps.events.envelope import Envelope

logger = structlog.get_logger(__name__)

_ENTER = """
INSERT INTO inbox (consumer, event_id, processed_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING
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
        registration.handler(message, envelope)
    return True


def _enter_inbox(group: str, envelope: Envelope) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_ENTER, [group, envelope.event_id])
        return bool(cursor.rowcount)
