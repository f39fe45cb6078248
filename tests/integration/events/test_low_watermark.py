"""The low watermark passes deleted rows, and never a row that is still to be committed."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from apps.events.models import OutboxRow, ParkedKey
from apps.events.outbox import parking
from apps.events.outbox.low_watermark import LowWatermark
from apps.events.outbox.relay import query
from apps.events.outbox.relay.relay import Relay
from apps.events.outbox.rows import FetchSpec, prepare_session
from apps.messages.base import slot_of
from tests.support.kafka import everything_in, fill_outbox, outbox_count, sequences_by_key
from tests.support.relaying import another_session, drive, next_records

pytestmark = pytest.mark.django_db(transaction=True)


def _publish(session: Any, topic: str) -> None:
    key = uuid4()
    with session.cursor() as cursor:
        cursor.execute(
            "SELECT events.append_event(gen_random_uuid(), 'user.updated', 1, 'user', %s, now(), NULL, "
            "gen_random_uuid(), NULL, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', "
            "'{}'::bytea, 'kafka', %s, %s)",
            [str(key), topic, slot_of(key)],
        )


def _advance_twice(watermark: LowWatermark, highest: int) -> None:
    watermark.advance(highest=highest)
    watermark.advance(highest=highest)


def test_the_floor_rises_over_what_was_deleted(topic: str) -> None:
    fill_outbox(topic, [uuid4()], 10)
    highest = OutboxRow.objects.order_by("-id")[0].pk
    OutboxRow.objects.all().delete()
    fill_outbox(topic, [uuid4()], 1)
    watermark = LowWatermark("kafka")

    _advance_twice(watermark, highest)

    assert watermark.value == highest
    assert len(next_records(limit=10, low_watermark=watermark.value)) == 1


def test_the_floor_stays_below_a_row_that_was_numbered_and_is_not_committed(topic: str) -> None:
    watermark = LowWatermark("kafka")
    with another_session() as slow:
        _publish(slow, topic)
        fill_outbox(topic, [uuid4()], 10)
        highest = OutboxRow.objects.order_by("-id")[0].pk
        OutboxRow.objects.all().delete()
        for _ in range(5):
            watermark.advance(highest=highest)
        assert watermark.value == 0
        slow.commit()
    _advance_twice(watermark, highest)

    assert len(next_records(limit=10, low_watermark=watermark.value)) == 1


def test_a_row_committed_late_is_sent_by_a_relay_that_has_been_far_beyond_it(topic: str) -> None:
    relay = Relay()
    try:
        with another_session() as slow:
            _publish(slow, topic)
            for _ in range(3):
                fill_outbox(topic, [uuid4()], 20)
                drive(relay, until=lambda: outbox_count(topic) == 0)
                relay._chores_at = 0.0
            slow.commit()
        drive(relay, until=lambda: len(everything_in(topic)) == 61, seconds=10)
    finally:
        relay.close()


def test_a_reader_that_keeps_a_snapshot_for_hours_does_not_hold_the_floor(topic: str) -> None:
    """A backup keeps such a snapshot, so no row that it might see is removed."""
    watermark = LowWatermark("kafka")
    with another_session() as reader, reader.cursor() as cursor:
        reader.set_session(isolation_level="REPEATABLE READ", readonly=True)
        cursor.execute("SELECT count(*) FROM events.outbox")
        fill_outbox(topic, [uuid4()], 3000)
        highest = OutboxRow.objects.order_by("-id")[0].pk
        OutboxRow.objects.all().delete()

        _advance_twice(watermark, highest)

        assert watermark.value == highest
        assert _pages_read(watermark.value) < 10 < _pages_read(0)


def test_released_rows_far_below_the_floor_are_sent(topic: str) -> None:
    sick, healthy = uuid4(), uuid4()
    fill_outbox("test.no-such-topic", [sick], 1)
    relay = Relay()
    try:
        drive(relay, until=ParkedKey.objects.exists)
        fill_outbox(topic, [sick], 2)
        fill_outbox(topic, [healthy], 50)
        drive(relay, until=lambda: outbox_count(topic) == 2)
        for _ in range(3):
            relay._chores_at = 0.0
            relay.step()
        assert relay._low_watermark.value > OutboxRow.objects.filter(key=sick).order_by("-id")[0].pk

        OutboxRow.objects.filter(destination="test.no-such-topic").update(destination=topic)
        parking.release(sick, operator="ada", now=timezone.now())
        drive(relay, until=lambda: outbox_count(topic) == 0, seconds=15)
    finally:
        relay.close()

    assert sequences_by_key(everything_in(topic))[str(sick)] == [1, 2, 3]


def _pages_read(low_watermark: int) -> int:
    spec = FetchSpec(frozenset((slot, 1) for slot in range(64)), limit=10, low_watermark=low_watermark)
    prepare_session()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query._NEXT}", spec.parameters())
        plan = cursor.fetchone()[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
