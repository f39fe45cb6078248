"""Publishing: a row in the event store and a row in the outbox, in the caller's transaction. No broker is involved."""

from datetime import datetime
from uuid import UUID

from django.db import connection

from apps.core.context import current_context
from apps.core.errors import PlatformError
from apps.core.identity.actor import current_actor, current_client
from apps.core.ids import new_id
from apps.events.store.wake_up import wake_after_commit
from apps.messages.base import Command, Event, Message, Status, Transport, WakeUp, slot_of

_APPEND = "SELECT events.append_event(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_KEEP_CLIENT = "SELECT events.keep_client(%s, %s, %s, %s, %s)"


class PublishedOutsideTransaction(PlatformError):
    """A message must commit together with the state that it announces."""

    code = "published_outside_transaction"
    http_status = 500


def publish(message: Event | Status, *, now: datetime, user_id: UUID | None = None) -> UUID:
    """Announces a change, in the transaction that makes it. Returns the event's id. `now` is in UTC.

    Raises PublishedOutsideTransaction, InvalidPayload.
    """
    return _append(message, event_id=new_id(), now=now, user_id=user_id)


def dispatch(command: Command, *, now: datetime, user_id: UUID | None = None) -> UUID:
    """Sends a command, in the transaction that records it. Returns the command's id. `now` is in UTC.

    Raises PublishedOutsideTransaction, InvalidPayload.
    """
    return _append(command, event_id=command.command_id, now=now, user_id=user_id)


def _append(message: Message, *, event_id: UUID, now: datetime, user_id: UUID | None) -> UUID:
    declaration = message.declaration
    if isinstance(message, WakeUp):
        raise TypeError(f"{declaration.name} is a wake-up: a WakeUpSender sends it, and nothing stores it.")
    if not connection.in_atomic_block:
        raise PublishedOutsideTransaction(f"{declaration.name} must be published inside transaction.atomic().")
    context, actor, client = current_context(), current_actor(), current_client()
    user_id = user_id or getattr(message, "user_id", None)
    with connection.cursor() as cursor:
        if client is not None:
            found = client.client
            owner = actor.user_id or user_id
            cursor.execute(_KEEP_CLIENT, [client.digest, client.salt, found.address, found.user_agent, owner])
        cursor.execute(
            _APPEND,
            [
                event_id,
                declaration.name,
                declaration.version,
                declaration.aggregate,
                message.aggregate_id,
                now,
                user_id,
                context.correlation_id,
                context.causation_id,
                context.traceparent,
                message.canonical_bytes(),
                declaration.transport,
                declaration.destination,
                slot_of(message.aggregate_id),
                declaration.journal,
                actor.text(client_digest=client.digest if client else None),
            ],
        )
    wake_after_commit(declaration.transport)
    if declaration.journal:
        wake_after_commit(Transport.KAFKA)
    return event_id
