"""Whether Kafka has all that a replay asks for: by counts and the broker's low watermarks, never by ages.

The event store has everything, so any doubt is enough for it to be the source.
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
# As the relay dates a record: in whole milliseconds.
_STORED = """
SELECT count(*) FROM events.event
WHERE event_type = ANY(%s) AND (extract(epoch FROM recorded_at) * 1000)::bigint >= %s
"""


def lacking_in_kafka(filters: EventFilter) -> str:
    """Why Kafka may not have everything that fits, in a few words for a person; nothing where it has it all."""
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
    """Raises BrokerUnavailable."""
    return TopicReader(sorted(topics), since=since).extents()


def _difference(topic: str, extent: Extent, stored: int) -> Iterator[str]:
    counts = f"{extent.records} records of {topic} are in Kafka, {stored} events in the event store"
    if not extent.is_whole:
        yield f"Kafka has deleted the beginning: {counts}"
    # More than the store has: sent twice, or of a history that a restore has undone.
    if extent.records != stored:
        yield counts


def _stored(topic: str, *, since: datetime | None) -> int:
    """How many events of a topic the live table has."""
    with connection.cursor() as cursor:
        cursor.execute(_STORED, [sorted(types_of(topic)), int(since.timestamp() * 1000) if since else 0])
        return int(cursor.fetchone()[0])


def _fits(filters: EventFilter, condition: str, value: Any) -> bool:
    """Whether the live table has an event that fits and meets the condition."""
    where, parameters = filters.sql()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM events.event WHERE {where} AND {condition})",  # noqa: S608
            [*parameters, value],
        )
        return bool(cursor.fetchone()[0])
