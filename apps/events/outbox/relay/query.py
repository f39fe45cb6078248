"""Query for the rows of the outbox that go to Kafka, as records that are ready to send."""

from typing import NamedTuple

from django.db import connection

from apps.events.outbox.rows import FetchSpec, prepare_session
from apps.messages.cloud_events import Headers, schema_attributes

# The batch is selected before the join: otherwise a long backlog would be joined again for every batch.
# PostgreSQL formats the attributes and joins them to one column, which is faster than many columns through the driver.
_NEXT = """
WITH batch AS MATERIALIZED (
    SELECT id, event_id, recorded_at, destination, key FROM outbox
     WHERE transport = 'kafka' AND next_attempt_at < 'infinity' AND id > %(low_watermark)s AND slot = ANY(%(slots)s)
       AND NOT (id = ANY(%(in_flight)s)) AND NOT (key = ANY(%(parked)s))
     ORDER BY id LIMIT %(limit)s
)
SELECT batch.id, batch.destination, e.event_type, e.schema_version, e.payload,
       (extract(epoch FROM e.recorded_at) * 1000)::bigint,
       concat_ws(E'\t', batch.key, batch.event_id,
           '/' || e.aggregate_type || '/' || e.aggregate_id,
           to_char(e.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           lpad(e.aggregate_seq::text, 20, '0'),
           e.correlation_id, e.traceparent,
           to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           coalesce(e.causation_id::text, ''), coalesce(e.user_id::text, ''), e.actor)
  FROM batch LEFT JOIN event e ON e.event_id = batch.event_id AND e.recorded_at = batch.recorded_at
 ORDER BY batch.id
"""


class Record(NamedTuple):
    """A row of the outbox as a Kafka record. `value` is None if the event store has no such event."""

    row_id: int
    key: bytes
    topic: str
    event_id: bytes
    event_type: str
    value: bytes | None
    headers: Headers
    timestamp_ms: int


def next_records(spec: FetchSpec) -> list[Record]:
    """The oldest rows of this spec, oldest first. Raises DatabaseError."""
    prepare_session()
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, spec.parameters())
        return [_record(*row) for row in cursor.fetchall()]


def limit_bytes(records: list[Record], max_bytes: int) -> list[Record]:
    """The first records, of at most this size together; at least one record."""
    size = 0
    for index, record in enumerate(records):
        size += len(record.value or b"")
        if size > max_bytes and index:
            return records[:index]
    return records


def _record(  # noqa: PLR0917 -- the columns, in their order
    row_id: int,
    topic: str,
    event_type: str | None,
    schema_version: int,
    payload: memoryview,
    timestamp_ms: int,
    attributes: str,
) -> Record:
    if event_type is None:
        key, event_id = attributes.encode().split(b"\t")[:2]
        return Record(row_id, key, topic, event_id, "unknown", None, [], 0)
    (key, event_id, source, occurred_at, sequence, correlation_id, trace, recorded_at, causation_id, user_id,
     actor) = attributes.encode().split(b"\t")  # fmt: skip
    headers = [
        *schema_attributes(event_type, schema_version),
        ("ce_id", event_id),
        ("ce_source", source),
        ("ce_time", occurred_at),
        ("ce_sequence", sequence),
        ("ce_partitionkey", key),
        ("ce_correlationid", correlation_id),
        ("ce_traceparent", trace),
        ("traceparent", trace),
        ("ce_recordedtime", recorded_at),
    ]
    if causation_id:
        headers.append(("ce_causationid", causation_id))
    if user_id:
        headers.append(("ce_userid", user_id))
    if actor:
        headers.append(("ce_actor", actor))
    return Record(row_id, key, topic, event_id, event_type, bytes(payload), headers, timestamp_ms)
