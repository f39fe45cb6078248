"""Keys that no relay may pass: their oldest event cannot be sent, and nothing of the same key may overtake it."""

from dataclasses import dataclass
from uuid import UUID

import structlog
from django.db import connection, transaction

from apps.core.errors import NotFound
from apps.events.models import ParkedKey
from apps.events.relay.rows import Record

logger = structlog.get_logger(__name__)

KAFKA = "kafka"

_PARK = """
INSERT INTO parked_key (transport, key, event_id, event_type, reason, parked_at)
VALUES ('kafka', %s, %s, %s, %s, now()) ON CONFLICT (transport, key) DO NOTHING
"""
_NOTE = "UPDATE outbox SET attempts = attempts + 1, last_error = %s WHERE id = %s"

# Rows of a parked key leave the index that the relay reads. The parked keys are locked: a release that runs at the
# same time either comes first, and then they are not here, or waits and frees these rows as well.
_HOLD = """
WITH parked AS MATERIALIZED (SELECT key FROM parked_key WHERE transport = 'kafka' ORDER BY key FOR SHARE)
UPDATE outbox SET next_attempt_at = 'infinity' FROM parked
 WHERE outbox.transport = 'kafka' AND outbox.next_attempt_at < 'infinity' AND outbox.key = parked.key
"""
_FREE = "UPDATE outbox SET next_attempt_at = now() WHERE transport = 'kafka' AND key = %s"
_SKIP = "DELETE FROM outbox WHERE transport = 'kafka' AND key = %s AND event_id = %s"


@dataclass(frozen=True)
class Poison:
    """A record that can never be sent as it is: `reason` for programs, `detail` for a person."""

    record: Record
    reason: str
    detail: str


def park(poison: Poison) -> None:
    """Parks the key of an event that cannot be sent, with all that follows it. Raises DatabaseError."""
    record = poison.record
    key, event_id = record.key.decode(), record.event_id.decode()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_PARK, [key, event_id, record.event_type, f"{poison.reason}: {poison.detail}"])
        cursor.execute(_NOTE, [poison.detail[:500], record.row_id])
        cursor.execute(_HOLD)
    logger.error(
        "An event cannot be sent to Kafka: its key is parked, and every later event of the key waits behind it. "
        "Remove the cause, then release the key.",
        command=f"manage.py parked_keys release {key}",
        key=key,
        event_id=event_id,
        event_type=record.event_type,
        topic=record.topic,
        reason=poison.reason,
        detail=poison.detail,
    )


def parked_keys() -> set[UUID]:
    """The parked keys; rows that came for them since leave the relay's sight. Raises DatabaseError."""
    keys = set(ParkedKey.objects.filter(transport=KAFKA).values_list("key", flat=True))
    if keys:
        with connection.cursor() as cursor:
            cursor.execute(_HOLD)
    return keys


def waiting_rows() -> dict[UUID, int]:
    """How many events wait for each parked key."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.key, count(o.id) FROM parked_key p LEFT JOIN outbox o ON o.key = p.key AND o.transport = 'kafka' "
            "WHERE p.transport = 'kafka' GROUP BY p.key"
        )
        return dict(cursor.fetchall())


@transaction.atomic
def release(key: UUID, *, without: UUID | None = None) -> int:
    """Lets the key's events go, oldest first; returns how many. `without` names an event that is left out for good:
    it stays in the event store and in the audit log, and consumers of Kafka never see it. Raises NotFound.
    """
    deleted, _ = ParkedKey.objects.filter(transport=KAFKA, key=key).delete()
    if not deleted:
        raise NotFound(f"The key {key} is not parked.")
    with connection.cursor() as cursor:
        if without is not None:
            cursor.execute(_SKIP, [key, without])
            if not cursor.rowcount:
                raise NotFound(f"No event {without} waits under the key {key}.")
        cursor.execute(_FREE, [key])
        freed: int = cursor.rowcount
    logger.warning("A parked key is released.", key=str(key), events=freed, without=str(without) if without else None)
    return freed
