"""Publishing: one row in the event store and one in the outbox, in the caller's transaction. No broker is touched."""

from datetime import datetime
from uuid import UUID

from django.db import connection

from apps.core.context import current_context
from apps.core.errors import PlatformError
from apps.core.ids import new_id
from apps.events.store.wake_up import wake_after_commit
from apps.messages.base import Command, Event, Message, Status, Transport, slot_of

_APPEND = "SELECT events.append_event(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


class PublishedOutsideTransaction(PlatformError):
    """State and the message that announces it must commit together."""

    code = "published_outside_transaction"
    http_status = 500


def publish(message: Event | Status, *, now: datetime, user_id: UUID | None = None) -> UUID:
    """Announces what has happened, in the transaction in which it happens. Returns the event's id.

    Raises PublishedOutsideTransaction, InvalidPayload.
    """
    return _append(message, event_id=new_id(), now=now, user_id=user_id)


def dispatch(command: Command, *, now: datetime, user_id: UUID | None = None) -> UUID:
    """Orders something to be done, in the transaction that records the order. Returns the command's id.

    Raises PublishedOutsideTransaction, InvalidPayload.
    """
    return _append(command, event_id=command.command_id, now=now, user_id=user_id)


def _append(message: Message, *, event_id: UUID, now: datetime, user_id: UUID | None) -> UUID:
    declaration = message.declaration
    if not connection.in_atomic_block:
        raise PublishedOutsideTransaction(f"{declaration.name} must be published inside transaction.atomic().")
    context = current_context()
    with connection.cursor() as cursor:
        cursor.execute(
            _APPEND,
            [
                event_id,
                declaration.name,
                declaration.version,
                declaration.aggregate,
                message.aggregate_id,
                now,
                user_id or getattr(message, "user_id", None),
                context.correlation_id,
                context.causation_id,
                context.traceparent,
                message.canonical_bytes(),
                declaration.transport,
                declaration.destination,
                slot_of(message.aggregate_id),
                declaration.journal,
            ],
        )
    wake_after_commit(declaration.transport)
    if declaration.journal:
        wake_after_commit(Transport.KAFKA)
    return event_id
