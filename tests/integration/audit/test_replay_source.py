"""`auto` takes Kafka only where Kafka has all that fits; no clock and no archive makes an event go missing."""

import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from apps.audit.archive import Partition, archive
from apps.audit.filters import EventFilter
from apps.audit.models import ArchivedPartition
from apps.audit.replay import sources
from apps.events.catalogue.user import UserUpdated
from apps.events.cloud_events import kafka_headers
from apps.events.envelope import Envelope
from apps.events.kafka import BrokerUnavailable, EventProducer, TopicReader, admin_client
from apps.events.models import OutboxRow, ParkedKey, StoredEvent
from apps.events.outbox import parking
from apps.events.selectors import envelope_of
from apps.events.services import publish
from tests.kafka_broker import topic

__all__ = ["topic"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_kafka(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "topic" not in request.fixturenames:
        monkeypatch.setattr(sources, "from_kafka", lambda _filters: iter(()))


def _dry_run(**options: Any) -> str:
    out = io.StringIO()
    call_command("replay_events", dry_run=True, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def _age(user_id: UUID, days: float) -> None:
    """As if the user's events had been published so many days ago."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE events.event SET recorded_at = recorded_at - %s * interval '1 day', "
            "occurred_at = occurred_at - %s * interval '1 day' WHERE aggregate_id = %s",
            [days, days, user_id],
        )
        cursor.execute("SET session_replication_role = origin")


def test_events_that_kafka_has_all_come_from_kafka(users: list[UUID]) -> None:
    _age(users[0], 89)

    assert _dry_run() == "0 events would be replayed from kafka (it has all that fits). Nothing was done.\n"


def test_an_event_older_than_kafka_keeps_is_not_left_out(users: list[UUID]) -> None:
    _age(users[0], 91)

    older = "some of what fits is older than the 90 days that Kafka keeps"
    assert _dry_run() == f"12 events would be replayed from store ({older}). Nothing was done.\n"
    assert _dry_run(user=str(users[0])) == f"4 events would be replayed from store ({older}). Nothing was done.\n"


def test_old_events_that_do_not_fit_do_not_matter(users: list[UUID]) -> None:
    _age(users[0], 91)

    assert "from kafka" in _dry_run(user=str(users[1]))
    assert "from kafka" in _dry_run(since=(timezone.now() - timedelta(days=80)).isoformat())


def test_a_since_beyond_what_kafka_keeps_takes_the_store(users: list[UUID]) -> None:
    since = (timezone.now() - timedelta(days=91)).isoformat()

    assert "12 events would be replayed from store (what fits may be older" in _dry_run(since=since)


def test_an_event_that_waits_for_kafka_is_not_left_out(users: list[UUID]) -> None:
    with transaction.atomic():
        publish(UserUpdated(user_id=users[0], changed=("name",)), now=timezone.now())

    waits = "some of what fits has not reached Kafka yet"
    assert _dry_run(user=str(users[0])) == f"5 events would be replayed from store ({waits}). Nothing was done.\n"
    assert "from kafka" in _dry_run(user=str(users[1]))


def test_an_event_that_an_operator_left_out_of_kafka_is_not_left_out_of_a_replay(users: list[UUID]) -> None:
    poison = StoredEvent.objects.filter(aggregate_id=users[0]).first()
    assert poison is not None
    ParkedKey.objects.create(
        transport="kafka", key=users[0], event_id=poison.event_id, event_type="user.updated", parked_at=timezone.now()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO events.outbox (event_id, recorded_at, transport, destination, key, slot, created_at, "
            "next_attempt_at) VALUES (%s, now(), 'kafka', 'user.events', %s, 1, now(), 'infinity')",
            [poison.event_id, users[0]],
        )
    parking.release(users[0], operator="ada", now=timezone.now(), without=poison.event_id)
    OutboxRow.objects.all().delete()

    assert "left out of Kafka" in _dry_run(user=str(users[0]))
    assert "from kafka (it has all that fits)" in _dry_run(user=str(users[1]))


def test_archived_months_are_not_left_out(sealed: list[UUID], this_month: Partition, tmp_path: Path) -> None:
    archive(this_month, folder=tmp_path, now=timezone.now())

    assert "12 events would be replayed from store (what fits may be in archived months" in _dry_run(archive=tmp_path)
    with pytest.raises(CommandError, match="Name its folder with --archive, or leave the month out with --since"):
        _dry_run()


def test_an_archived_month_that_ended_within_the_clocks_difference_before_since_is_read(
    sealed: list[UUID], this_month: Partition, tmp_path: Path
) -> None:
    first = StoredEvent.objects.order_by("recorded_at")[0].occurred_at
    ArchivedPartition.objects.all().delete()
    archive(this_month, folder=tmp_path, now=timezone.now())
    ArchivedPartition.objects.update(ends_at=first - timedelta(minutes=4))
    assert len(list(sources.from_store(EventFilter(since=first), archive_folder=tmp_path))) == 12

    ArchivedPartition.objects.update(ends_at=first - timedelta(minutes=6))
    assert list(sources.from_store(EventFilter(since=first), archive_folder=tmp_path)) == []


@pytest.mark.parametrize("archived", [False, True])
def test_an_aggregate_keeps_its_order_though_a_clock_was_set_back(
    users: list[UUID], this_month: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, archived: bool
) -> None:
    monkeypatch.setattr(sources, "_SORTED_AT_ONCE", 5)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE events.event SET recorded_at = recorded_at - interval '1 second' WHERE aggregate_seq IN (2, 3)"
        )
        cursor.execute(
            "INSERT INTO audit.audit_leaf SELECT row_number() OVER (), event_id, recorded_at, hash FROM events.event"
        )
        cursor.execute("SET session_replication_role = origin")
    if archived:
        archive(this_month, folder=tmp_path, now=timezone.now())

    replayed = list(sources.from_store(EventFilter(), archive_folder=tmp_path))
    assert len(replayed) == 12
    for user_id in users:
        assert [each.aggregate_seq for each in replayed if each.aggregate_id == user_id] == [1, 2, 3, 4]


def test_no_transaction_is_open_while_events_of_the_store_are_handed_over(users: list[UUID]) -> None:
    envelopes = sources.from_store(EventFilter())
    next(envelopes)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            )
            assert cursor.fetchone() == (0,)
        assert not connection.in_atomic_block
    finally:
        envelopes.close()


def test_a_projection_is_not_rebuilt_from_a_source_that_lacks_events(users: list[UUID]) -> None:
    _age(users[0], 91)

    with pytest.raises(CommandError, match="--into takes all events, and some of what fits is older"):
        call_command("replay_events", into="alerts", source="kafka", stdout=io.StringIO(), stderr=io.StringIO())


class TestKafka:
    @pytest.fixture
    def producer(self, topic: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventProducer]:
        monkeypatch.setattr(EventFilter, "topics", lambda _self: {topic})
        producer = EventProducer("test")
        assert producer.knows(topic, seconds=10)
        yield producer
        producer.end()

    def _send(self, producer: EventProducer, topic: str, envelope: Envelope, recorded_at: datetime) -> None:
        producer.send(
            topic,
            key=str(envelope.aggregate_id).encode(),
            value=envelope.payload,
            headers=kafka_headers(envelope),
            timestamp_ms=int(recorded_at.timestamp() * 1000),
        ).get(10)

    def test_an_event_whose_application_s_clock_runs_ahead_of_the_database_s_is_not_lost_at_the_edge(
        self, topic: str, producer: EventProducer
    ) -> None:
        with transaction.atomic():
            publish(UserUpdated(user_id=uuid4(), changed=("name",)), now=timezone.now())
        envelope = envelope_of(StoredEvent.objects.get())
        for seconds in (4 * 60, 0):
            self._send(producer, topic, envelope, envelope.occurred_at - timedelta(seconds=seconds))

        assert len(list(sources.from_kafka(EventFilter(since=envelope.occurred_at)))) == 2
        assert list(sources.from_kafka(EventFilter(since=envelope.occurred_at + timedelta(seconds=1)))) == []

    def test_records_that_kafka_drops_in_the_middle_are_missed_loudly(
        self, topic: str, producer: EventProducer
    ) -> None:
        for _ in range(8):
            producer.send(topic, key=b"key", value=b"x" * 900_000, headers=[], timestamp_ms=1).get(10)
        records = TopicReader([topic]).records()
        partition = next(records).partition
        with admin_client() as admin:
            admin.delete_records({_partition(topic, partition): 7})

        with pytest.raises(BrokerUnavailable, match="could not be read to the end"):
            list(records)

    def test_a_topic_that_is_missing_beside_one_that_is_there_is_named(self, topic: str) -> None:
        with pytest.raises(BrokerUnavailable, match=r"does not have the topics test\.typo"):
            list(TopicReader([topic, "test.typo"]).records())


def _partition(topic: str, number: int) -> Any:
    from kafka import TopicPartition

    return TopicPartition(topic, number)
