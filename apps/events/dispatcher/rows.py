"""The rows of the outbox that go to RabbitMQ. Every statement is a short transaction: none is open while a broker is
waited for."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from apps.events.catalogue import Transport
from apps.events.envelope import Envelope
from apps.events.outbox.rows import prepare_session

TRANSPORT = Transport.RABBITMQ.value

# The outbox is cut to the batch first: joined whole, a long backlog would be joined again for every batch.
_NEXT = """
WITH batch AS MATERIALIZED (
    SELECT id, key, destination, event_id, recorded_at FROM outbox
     WHERE transport = 'rabbitmq' AND next_attempt_at < 'infinity' AND id > %(floor)s AND slot = ANY(%(slots)s)
       AND NOT (id = ANY(%(under_way)s)) AND NOT (key = ANY(%(parked)s))
       {not_paused}
     ORDER BY id LIMIT %(limit)s
)
SELECT batch.id, batch.key, batch.destination, batch.event_id, e.event_id, e.event_type, e.schema_version,
       e.aggregate_type, e.aggregate_id, e.aggregate_seq, e.occurred_at, e.user_id, e.correlation_id, e.causation_id,
       e.traceparent, e.payload
  FROM batch LEFT JOIN event e ON e.event_id = batch.event_id AND e.recorded_at = batch.recorded_at
 ORDER BY batch.id
"""
# What waits for a paused queue also holds back the rest of its key.
_NOT_PAUSED = """AND key NOT IN (
       SELECT waiting.key FROM outbox waiting
        WHERE waiting.transport = 'rabbitmq' AND waiting.destination = ANY(%(paused)s))"""


class Row(NamedTuple):
    """An outbox row with the event it announces, which is None where the event store has no such event."""

    id: int
    key: UUID
    destination: str
    event_id: UUID
    envelope: Envelope | None


class Wanted(NamedTuple):
    """Which rows: of the slots of these leases (slot and epoch), above the floor, at most `limit`; none of a parked
    key, for a paused queue, or under way."""

    leases: frozenset[tuple[int, int]]
    limit: int
    parked: frozenset[UUID] = frozenset()
    paused: tuple[str, ...] = ()
    under_way: tuple[int, ...] = ()
    floor: int = 0

    def is_like(self, other: "Wanted") -> bool:
        """Whether what was fetched for one serves the other: what was under way is gone, and the floor only grows."""
        return self[:4] == other[:4]


def next_rows(wanted: Wanted) -> list[Row]:
    """The oldest of these rows, in the order in which they were written. Raises DatabaseError."""
    values: dict[str, Any] = {
        "slots": [slot for slot, _ in wanted.leases],
        "limit": wanted.limit,
        "parked": list(wanted.parked),
        "paused": list(wanted.paused),
        "under_way": list(wanted.under_way),
        "floor": wanted.floor,
    }
    prepare_session()
    with connection.cursor() as cursor:
        cursor.execute(_NEXT.format(not_paused=_NOT_PAUSED if wanted.paused else ""), values)
        return [_row(*row) for row in cursor.fetchall()]


def note_failure(ids: Sequence[int], error: str) -> None:
    """Counts a try that the broker refused, for those who look at the outbox."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE outbox SET attempts = attempts + 1, last_error = %s WHERE id = ANY(%s)", [error[:500], list(ids)]
        )


def _row(row_id: int, key: UUID, destination: str, event_id: UUID, *columns: Any) -> Row:
    *attributes, payload = columns
    if payload is None:
        return Row(row_id, key, destination, event_id, None)
    attributes.append(bytes(payload))
    return Row(row_id, key, destination, event_id, Envelope(*attributes))
