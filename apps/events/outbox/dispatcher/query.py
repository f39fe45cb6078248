"""The rows of the outbox that go to RabbitMQ. Every statement is a short transaction: none is open while a broker is
waited for."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from apps.events.brokers.topology import rabbitmq as topology
from apps.events.outbox.rows import prepare_session
from apps.messages.base import Command, Priority, Status, Transport
from apps.messages.envelope import Envelope

TRANSPORT = Transport.RABBITMQ.value

# The outbox is cut to the batch first: joined whole, a long backlog would be joined again for every batch.
#
# What is urgent comes first, unless something older of its key still waits: a flood of other messages does not delay
# it, and it overtakes nothing of its own key. It takes half of the batch at most, so that the rest goes on as well.
# "From this queue to this queue", not "=": that leaves the planner no way round the index over queue and id, or key and
# id.
_NEXT = """
WITH urgent AS MATERIALIZED (
    SELECT 0 AS turn, candidate.* FROM unnest(%(urgent)s::text[]) AS queue CROSS JOIN LATERAL (
        SELECT id, key, destination, event_id, recorded_at FROM outbox
         WHERE destination >= queue AND destination <= queue AND {can_go}
         ORDER BY destination, id LIMIT %(limit)s) AS candidate
     WHERE candidate.id = (SELECT first.id FROM outbox AS first
                            WHERE first.transport = 'rabbitmq'
                              AND first.key >= candidate.key AND first.key <= candidate.key
                            ORDER BY first.key, first.id LIMIT 1)
     ORDER BY id LIMIT (%(limit)s + 1) / 2
), oldest AS MATERIALIZED (
    SELECT 1 AS turn, id, key, destination, event_id, recorded_at FROM outbox
     WHERE {can_go} ORDER BY id LIMIT %(limit)s
), batch AS MATERIALIZED (
    SELECT * FROM urgent UNION ALL
    SELECT * FROM oldest WHERE id NOT IN (SELECT id FROM urgent)
     ORDER BY turn, id LIMIT %(limit)s
)
SELECT batch.id, batch.key, batch.destination, batch.event_id, e.event_id, e.event_type, e.schema_version,
       e.aggregate_type, e.aggregate_id, e.aggregate_seq, e.occurred_at, e.user_id, e.correlation_id, e.causation_id,
       e.traceparent, e.payload
  FROM batch LEFT JOIN event e ON e.event_id = batch.event_id AND e.recorded_at = batch.recorded_at
 ORDER BY batch.turn, batch.id
"""
_CAN_GO = """transport = 'rabbitmq' AND next_attempt_at < 'infinity' AND id > %(floor)s AND slot = ANY(%(slots)s)
           AND NOT (id = ANY(%(under_way)s)) AND NOT (key = ANY(%(parked)s))"""
# What waits for a paused queue also holds back the rest of its key.
_NOT_PAUSED = """
           AND key NOT IN (SELECT waiting.key FROM outbox waiting
                            WHERE waiting.transport = 'rabbitmq' AND waiting.destination = ANY(%(paused)s))"""


class Row(NamedTuple):
    """An outbox row with the event it announces, which is None where the event store has no such event."""

    id: int
    key: UUID
    destination: str
    event_id: UUID
    envelope: Envelope | None


class FetchSpec(NamedTuple):
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


def next_rows(wanted: FetchSpec) -> list[Row]:
    """These rows, of each key in the order in which they were written: the most urgent, then the oldest.

    Raises DatabaseError.
    """
    prepare_session()
    with connection.cursor() as cursor:
        cursor.execute(query_of(wanted), values_of(wanted))
        return [_row(*row) for row in cursor.fetchall()]


@cache
def urgent_queues() -> list[str]:
    return [queue for kind in (Command, Status) for queue in topology.queue_names(kind, priority=Priority.HIGH)]


def query_of(wanted: FetchSpec) -> str:
    return _NEXT.format(can_go=_CAN_GO + (_NOT_PAUSED if wanted.paused else ""))


def values_of(wanted: FetchSpec) -> dict[str, Any]:
    return {
        "urgent": urgent_queues(),
        "slots": [slot for slot, _ in wanted.leases],
        "limit": wanted.limit,
        "parked": list(wanted.parked),
        "paused": list(wanted.paused),
        "under_way": list(wanted.under_way),
        "floor": wanted.floor,
    }


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
