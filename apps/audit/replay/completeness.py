"""Whether Kafka has all events of a replay: judged by counts and the broker's low watermarks, never by age.

The event store has every event, so it is the source if there is any doubt.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import connection

from apps.audit import read_archive
from apps.audit.filters import EventFilter, types_of
from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.brokers.kafka.reader import Extent, TopicReader
from apps.messages.audit import ParkedKeyReleased

_WAITING = "SELECT event_id FROM events.outbox WHERE transport = %s"
_LEFT_OUT = """
SELECT (convert_from(payload, 'UTF8')::jsonb ->> 'without')::uuid FROM events.event WHERE event_type = %s
"""
# Record timestamps in Kafka have whole milliseconds.
_STORED = """
SELECT count(*) FROM events.event
WHERE event_type = ANY(%s) AND (extract(epoch FROM recorded_at) * 1000)::bigint >= %s
"""


def missing_in_kafka(filters: EventFilter) -> str:
    """The reason why Kafka may lack matching events, as text for the operator; empty if it has them all."""
    return next(_reasons(filters), "")


def _reasons(filters: EventFilter) -> Iterator[str]:
    topics = filters.topics()
    if not topics:
        yield "no topic has what fits"
    if read_archive.months_since(filters.recorded_since):
        yield "what fits may be in archived months, which Kafka does not have"
    if _fits(filters, f"event_id IN ({_WAITING})", "kafka"):
        yield "some of what fits has not reached Kafka yet"
    if _fits(filters, f"event_id IN ({_LEFT_OUT})", ParkedKeyReleased.declaration.name):
        yield "some of what fits was left out of Kafka when its key was released"
    try:
        extents = extents_in_kafka(topics, since=filters.recorded_since)
    except BrokerUnavailable:
        yield "Kafka does not answer, or lacks a topic"
        return
    for topic in sorted(topics):
        yield from _difference(topic, extents[topic], _stored(topic, since=filters.recorded_since))


def extents_in_kafka(topics: set[str], *, since: datetime | None) -> dict[str, Extent]:
    """The number of records in each topic, and whether its beginning is still there. Raises BrokerUnavailable."""
    return TopicReader(sorted(topics), since=since).extents()


def _difference(topic: str, extent: Extent, stored: int) -> Iterator[str]:
    counts = f"{extent.records} records of {topic} are in Kafka, {stored} events in the event store"
    if not extent.is_whole:
        yield f"Kafka has deleted the beginning: {counts}"
    # Kafka can have more records than the store has events: sent twice, or lost by the database in a restore.
    if extent.records != stored:
        yield counts


def _stored(topic: str, *, since: datetime | None) -> int:
    """The number of the topic's events in the live table."""
    with connection.cursor() as cursor:
        cursor.execute(_STORED, [sorted(types_of(topic)), int(since.timestamp() * 1000) if since else 0])
        return int(cursor.fetchone()[0])


def _fits(filters: EventFilter, condition: str, value: Any) -> bool:
    """Whether the live table has an event that matches the filter and meets the condition."""
    where, parameters = filters.sql()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM events.event WHERE {where} AND {condition})",  # noqa: S608  # nosec B608
            [*parameters, value],
        )
        return bool(cursor.fetchone()[0])
