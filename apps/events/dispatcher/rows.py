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

# The outbox is cut to the batch first: joined whole, a long backlog would be joined again for every batch.
_NEXT = """
WITH batch AS MATERIALIZED (
    SELECT id, key, destination, event_id, recorded_at FROM outbox
     WHERE transport = 'rabbitmq' AND slot = ANY(%(slots)s)
       AND key <> ALL (ARRAY(SELECT key FROM parked_key WHERE transport = 'rabbitmq'))
       {not_paused}
     ORDER BY id LIMIT %(limit)s
)
SELECT batch.id, batch.key, batch.destination, e.event_id, e.event_type, e.schema_version, e.aggregate_type,
       e.aggregate_id, e.aggregate_seq, e.occurred_at, e.user_id, e.correlation_id, e.causation_id, e.traceparent,
       e.payload
  FROM batch JOIN event e ON e.event_id = batch.event_id AND e.recorded_at = batch.recorded_at
 ORDER BY batch.id
"""
# What waits for a paused queue also holds back the rest of its key.
_NOT_PAUSED = """AND key NOT IN (
       SELECT waiting.key FROM outbox waiting
        WHERE waiting.transport = 'rabbitmq' AND waiting.destination = ANY(%(paused)s))"""

# The oldest rows come out of the index in order. A planner that does not know yet how long the outbox has grown would
# read and sort all of it, and the event store with it, for every batch.
_PLAN = "SET enable_bitmapscan = off; SET enable_seqscan = off; SET enable_sort = off; SET jit = off"


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
    _prepare_session()
    with connection.cursor() as cursor:
        cursor.execute(_NEXT.format(not_paused=_NOT_PAUSED if paused else ""), values)
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


# The connection that has been told how to plan.
_prepared: list[Any] = []


def _prepare_session() -> None:
    """Once for each connection to PostgreSQL."""
    connection.ensure_connection()
    if not _prepared or _prepared[0] is not connection.connection:
        with connection.cursor() as cursor:
            cursor.execute(_PLAN)
        _prepared[:] = [connection.connection]


def _row(values: tuple[Any, ...]) -> Row:
    row_id, key, destination, *columns = values
    columns[-1] = bytes(columns[-1])
    return Row(row_id, key, destination, Envelope(*columns))
