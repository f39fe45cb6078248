"""Kafka for tests: topics of a test's own on the real broker, what is in them, and outboxes full of events."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from kafka import KafkaConsumer, TopicPartition

from apps.events.brokers.kafka.admin import admin_client
from apps.events.models import OutboxRow
from apps.messages.cloud_events import from_kafka
from apps.messages.envelope import Envelope

# 400 bytes, as a trade's are.
PAYLOAD = b'{"changed":["' + b"x" * 320 + b'"],"user_id":"%s"}'

# Row by row, in one statement: each draws its number while it holds its aggregate's lock.
_APPEND = """
SELECT count(events.append_event(
    gen_random_uuid(), 'user.updated', 1, 'user', k.key, now(), k.key, gen_random_uuid(), NULL,
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    convert_to('{"changed":["' || repeat('x', %(fill)s) || '"],"user_id":"' || k.key || '"}', 'UTF8'),
    'kafka', %(topic)s, k.slot))
  FROM (SELECT (%(keys)s::uuid[])[1 + n %% %(count)s] AS key, (%(slots)s::int[])[1 + n %% %(count)s] AS slot
          FROM generate_series(1, %(events)s) AS n) AS k
"""


@dataclass(frozen=True)
class Arrived:
    """A record as it lies in Kafka."""

    partition: int
    offset: int
    key: str
    headers: list[tuple[str, bytes]]
    value: bytes

    @property
    def envelope(self) -> Envelope:
        return from_kafka(self.headers, self.value)


@contextmanager
def topic_of_its_own(partitions: int = 3, **configs: str) -> Iterator[str]:
    """A topic that is gone afterwards. Underscores in the names of settings stand for dots."""
    name = f"test.{secrets.token_hex(6)}"
    wanted = {setting.replace("_", "."): value for setting, value in configs.items()}
    with admin_client() as admin:
        admin.create_topics(
            {name: {"num_partitions": partitions, "replication_factor": 1, "configs": wanted}}, wait_for_metadata=True
        )
    try:
        yield name
    finally:
        with admin_client() as admin:
            admin.delete_topics([name])


def fill_outbox(topic: str, keys: list[UUID], events: int, *, fill: int = 320) -> None:
    """Appends events to the aggregates `keys` in turn, addressed to the topic, in one transaction."""
    from apps.messages.base import slot_of

    with connection.cursor() as cursor:
        cursor.execute(
            _APPEND,
            {
                "topic": topic,
                "fill": fill,
                "keys": keys,
                "slots": [slot_of(key) for key in keys],
                "count": len(keys),
                "events": events,
            },
        )


def outbox_count(topic: str) -> int:
    return OutboxRow.objects.filter(transport="kafka", destination=topic).count()


def everything_in(topic: str) -> list[Arrived]:
    """What the topic holds now, partition by partition, in order."""
    consumer: Any = KafkaConsumer(
        bootstrap_servers=list(settings.ENVIRONMENT.kafka_bootstrap_servers),
        api_version=(3, 9),
        enable_auto_commit=False,
        metrics_enabled=False,
    )
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Arrived] = []
        deadline = time.monotonic() + 30
        while any(consumer.position(each) < ends[each] for each in partitions):
            assert time.monotonic() < deadline, f"{topic} could not be read to its end"
            for records in consumer.poll(timeout_ms=200).values():
                found += map(_arrived, records)
        return sorted(found, key=lambda each: (each.partition, each.offset))
    finally:
        consumer.close()


def _arrived(record: Any) -> Arrived:
    return Arrived(
        record.partition, record.offset, (record.key or b"").decode(), list(record.headers), record.value or b""
    )


def sequences_by_key(records: list[Arrived]) -> dict[str, list[int]]:
    """Each key's sequence numbers in the order in which Kafka has them, duplicates included."""
    found: dict[str, list[int]] = {}
    for record in records:
        found.setdefault(record.key, []).append(record.envelope.aggregate_seq)
    return found


def first_seen(numbers: list[int]) -> list[int]:
    """As a consumer with an inbox sees them: each once, where it first came."""
    return list(dict.fromkeys(numbers))


@pytest.fixture
def topic() -> Iterator[str]:
    """A topic with three partitions, of this test's own."""
    with topic_of_its_own() as name:
        yield name
