"""The rows of the outbox that go to RabbitMQ. Every statement is a short transaction: none is open while a broker is
waited for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from apps.events.catalogue import Transport
from apps.events.envelope import Envelope

TRANSPORT = Transport.RABBITMQ.value

_NEXT = """
SELECT o.id, o.key, o.destination, e.event_id, e.event_type, e.schema_version, e.aggregate_type, e.aggregate_id,
       e.aggregate_seq, e.occurred_at, e.user_id, e.correlation_id, e.causation_id, e.traceparent, e.payload
  FROM outbox o JOIN event e ON e.event_id = o.event_id AND e.recorded_at = o.recorded_at
 WHERE o.transport = 'rabbitmq' AND o.slot = ANY(%(slots)s)
   AND NOT EXISTS (SELECT FROM parked_key p WHERE p.transport = 'rabbitmq' AND p.key = o.key)
   {paused}
 ORDER BY o.id
 LIMIT %(limit)s
"""
# What waits for a paused queue also holds back what came after it for the same key.
_NOT_PAUSED = """AND NOT EXISTS (
       SELECT FROM outbox b WHERE b.transport = 'rabbitmq' AND b.key = o.key AND b.id <= o.id
          AND b.destination = ANY(%(paused)s))"""


@dataclass(frozen=True)
class Row:
    """An outbox row with the event it announces."""

    id: int
    key: UUID
    destination: str
    envelope: Envelope


def next_rows(*, slots: Iterable[int], limit: int, paused: Sequence[str] = ()) -> list[Row]:
    """The oldest rows of these slots, in the order in which they were written."""
    values: dict[str, Any] = {"slots": sorted(slots), "limit": limit, "paused": list(paused)}
    with connection.cursor() as cursor:
        cursor.execute(_NEXT.format(paused=_NOT_PAUSED if paused else ""), values)
        return [_row(values) for values in cursor.fetchall()]


def delete(ids: Sequence[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM outbox WHERE id = ANY(%s)", [list(ids)])


def note_failure(ids: Sequence[int], error: str) -> None:
    """Counts a try that the broker refused, for those who look at the outbox."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE outbox SET attempts = attempts + 1, last_error = %s WHERE id = ANY(%s)", [error[:500], list(ids)]
        )


def park(row: Row, reason: str) -> None:
    """Lets nothing of this key pass until a person has looked: its oldest message cannot be sent."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO parked_key (transport, key, event_id, event_type, reason, parked_at)"
            " VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT DO NOTHING",
            [TRANSPORT, row.key, row.envelope.event_id, row.envelope.event_type, reason[:500]],
        )


def _row(values: tuple[Any, ...]) -> Row:
    row_id, key, destination, *columns = values
    columns[-1] = bytes(columns[-1])
    return Row(row_id, key, destination, Envelope(*columns))
