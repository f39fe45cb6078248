"""Queries for the rows of the outbox that go to RabbitMQ. Every statement is a transaction of its own."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from apps.events.brokers.topology import rabbitmq as topology
from apps.events.outbox.rows import FetchSpec, prepare_session
from apps.messages.base import Command, Priority, Status, Transport
from apps.messages.envelope import Envelope

TRANSPORT = Transport.RABBITMQ.value

# The batch is selected before the join: otherwise a long backlog would be joined again for every batch.
#
# Rows of urgent queues come first, unless an older row of their key waits. So a flood of other messages does not delay
# them, and they overtake nothing of their own key. They take at most half of the batch, so that others are sent too.
# The range conditions stand for "=": with them the planner has to use the index over queue and id, or over key and id.
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
       e.traceparent, e.actor, e.payload
  FROM batch LEFT JOIN event e ON e.event_id = batch.event_id AND e.recorded_at = batch.recorded_at
 ORDER BY batch.turn, batch.id
"""
_CAN_GO = """transport = 'rabbitmq' AND next_attempt_at < 'infinity' AND id > %(low_watermark)s
           AND slot = ANY(%(slots)s) AND NOT (id = ANY(%(in_flight)s)) AND NOT (key = ANY(%(parked)s))"""
# A row that waits for a paused queue holds the later rows of its key back.
_NOT_PAUSED = """
           AND key NOT IN (SELECT waiting.key FROM outbox waiting
                            WHERE waiting.transport = 'rabbitmq' AND waiting.destination = ANY(%(paused)s))"""


class Row(NamedTuple):
    """An outbox row with its event; `envelope` is None if the event store has no such event."""

    id: int
    key: UUID
    destination: str
    event_id: UUID
    envelope: Envelope | None


def next_rows(spec: FetchSpec) -> list[Row]:
    """The rows of this spec: urgent ones first, then the oldest; of each key in the order in which they were written.

    Raises DatabaseError.
    """
    prepare_session()
    with connection.cursor() as cursor:
        cursor.execute(query_of(spec), values_of(spec))
        return [_row(*row) for row in cursor.fetchall()]


@cache
def urgent_queues() -> list[str]:
    return [queue for kind in (Command, Status) for queue in topology.queue_names(kind, priority=Priority.HIGH)]


def query_of(spec: FetchSpec) -> str:
    return _NEXT.format(can_go=_CAN_GO + (_NOT_PAUSED if spec.paused else ""))


def values_of(spec: FetchSpec) -> dict[str, Any]:
    return {**spec.parameters(), "urgent": urgent_queues()}


def note_failure(ids: Sequence[int], error: str) -> None:
    """Records an attempt that the broker refused, for people who look at the outbox. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE outbox SET attempts = attempts + 1, last_error = %s WHERE id = ANY(%s)", [error[:500], list(ids)]
        )


def _row(row_id: int, key: UUID, destination: str, event_id: UUID, *columns: Any) -> Row:
    *attributes, actor, payload = columns
    if payload is None:
        return Row(row_id, key, destination, event_id, None)
    attributes.append(bytes(payload))
    return Row(row_id, key, destination, event_id, replace(Envelope(*attributes), actor=actor))
