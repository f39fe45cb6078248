"""Parked keys. The oldest message of such a key cannot be sent, and later messages of the key must not overtake it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import connection, transaction

from apps.core.errors import NotFound
from apps.core.ids import new_id
from apps.events.models import ParkedKey
from apps.events.store.publish import publish
from apps.messages.audit import ParkedKeyReleased

logger = structlog.get_logger(__name__)

_PARK = """
INSERT INTO parked_key (transport, key, event_id, event_type, reason, parked_at)
VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT (transport, key) DO NOTHING
"""
_NOTE = "UPDATE outbox SET attempts = attempts + 1, last_error = %s WHERE id = %s"

# Rows of parked keys are hidden from the fetch. The parked keys are locked: a concurrent release either committed
# first, and its keys are not found here, or it waits and makes these rows visible again.
_HOLD = """
WITH parked AS MATERIALIZED (SELECT key FROM parked_key WHERE transport = %(transport)s ORDER BY key FOR SHARE)
UPDATE outbox SET next_attempt_at = 'infinity' FROM parked
 WHERE outbox.transport = %(transport)s AND outbox.next_attempt_at < 'infinity' AND outbox.key = parked.key
"""
_FREE = "UPDATE outbox SET next_attempt_at = now() WHERE transport = ANY(%s) AND key = %s"
_SKIP = "DELETE FROM outbox WHERE transport = ANY(%s) AND key = %s AND event_id = %s"


@dataclass(frozen=True)
class Poison:
    """A row that can never be sent as it is. `reason` is for programs, `detail` for a person."""

    row_id: int
    key: UUID
    event_id: UUID
    event_type: str
    destination: str
    reason: str
    detail: str


def park(poison: Poison, *, transport: str) -> None:
    """Parks the key of a message that cannot be sent, and hides all rows of the key. Raises DatabaseError."""
    why = f"{poison.reason}: {poison.detail}"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_PARK, [transport, poison.key, poison.event_id, poison.event_type, why])
        cursor.execute(_NOTE, [poison.detail[:500], poison.row_id])
        cursor.execute(_HOLD, {"transport": transport})
    logger.error(
        "key_parked",
        advice="Everything later of the key waits behind this message. Remove the cause, then release the key.",
        command=f"manage.py parked_keys release {poison.key}",
        transport=transport,
        key=str(poison.key),
        event_id=str(poison.event_id),
        event_type=poison.event_type,
        destination=poison.destination,
        reason=poison.reason,
        detail=poison.detail,
    )


def parked_keys(transport: str) -> set[UUID]:
    """The parked keys. Hides rows that were added for them since the last call. Raises DatabaseError."""
    keys = set(ParkedKey.objects.filter(transport=transport).values_list("key", flat=True))
    if keys:
        with connection.cursor() as cursor:
            cursor.execute(_HOLD, {"transport": transport})
    return keys


def waiting_rows() -> dict[tuple[str, UUID], int]:
    """How many messages wait, by parked transport and key."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.transport, p.key, count(o.id) FROM parked_key p "
            "LEFT JOIN outbox o ON o.key = p.key AND o.transport = p.transport GROUP BY p.transport, p.key"
        )
        return {(transport, key): count for transport, key, count in cursor.fetchall()}


@transaction.atomic
def release(key: UUID, *, operator: str, now: datetime, without: UUID | None = None) -> int:
    """Releases a parked key: its messages are sent, oldest first. Returns how many.

    `without` names a message that is removed from the outbox and never sent; it stays in the event store. The release
    is itself published as an event. Raises NotFound.
    """
    parked = ParkedKey.objects.filter(key=key)
    transports = sorted(parked.select_for_update().values_list("transport", flat=True))
    if not transports:
        raise NotFound(f"The key {key} is not parked.")
    parked.filter(transport__in=transports).delete()
    with connection.cursor() as cursor:
        if without is not None:
            cursor.execute(_SKIP, [transports, key, without])
            if not cursor.rowcount:
                raise NotFound(f"No message {without} waits under the key {key}.")
        cursor.execute(_FREE, [transports, key])
        freed: int = cursor.rowcount
    publish(
        ParkedKeyReleased(
            release_id=new_id(),
            operator=operator,
            transports=tuple(transports),
            released_key=key,
            without=without,
            messages=freed,
            released_at=now,
        ),
        now=now,
    )
    logger.warning("parked_key_released", key=str(key), messages=freed, without=str(without) if without else None)
    return freed
