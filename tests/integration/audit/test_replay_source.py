"""`auto` reads Kafka only if Kafka has all matching events. Clock steps and archives lose no event."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from apps.audit.external_sort import external_sort
from apps.audit.filters import EventFilter
from apps.audit.models import ArchivedPartition
from apps.audit.replay import completeness, sources
from apps.audit.write_archive import Partition, write_archive
from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.brokers.kafka.producer import EventProducer
from apps.events.brokers.kafka.reader import Extent, TopicReader
from apps.events.models import OutboxRow, ParkedKey, StoredEvent
from apps.events.outbox import parking
from apps.events.store.publish import publish
from apps.events.store.selectors import envelope_of
from apps.messages.bots import BotError
from apps.messages.cloud_events import from_kafka
from apps.messages.envelope import Envelope
from apps.messages.user import UserUpdated
from tests.support.envelopes import kafka_headers_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_kafka(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes Kafka appear to have every event of the store; its events are not checked."""
    if "topic" not in request.fixturenames:
        monkeypatch.setattr(sources, "from_kafka", lambda _filters: (each for each in list[Envelope]()))
        _kafka_has(monkeypatch, lambda stored: Extent(stored, is_whole=True))


def _kafka_has(monkeypatch: pytest.MonkeyPatch, extent: Callable[[int], Extent]) -> None:
    monkeypatch.setattr(
        completeness,
        "extents_in_kafka",
        lambda topics, since: {topic: extent(completeness._stored(topic, since=since)) for topic in topics},
    )


def _dry_run(**options: Any) -> str:
    out = io.StringIO()
    call_command("replay_events", dry_run=True, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def _age(user_id: UUID, days: float) -> None:
    """Dates the user's events back by so many days."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE events.event SET recorded_at = recorded_at - %s * interval '1 day', "
            "occurred_at = occurred_at - %s * interval '1 day' WHERE aggregate_id = %s",
            [days, days, user_id],
        )
        cursor.execute("SET session_replication_role = origin")


def test_events_that_kafka_has_all_come_from_kafka_whatever_their_age(users: list[UUID]) -> None:
    _age(users[0], 300)

    assert _dry_run() == "0 events would be replayed from kafka (it has all that fits). Nothing was done.\n"


def test_a_topic_with_fewer_records_than_events_takes_the_store(
    users: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    _kafka_has(monkeypatch, lambda stored: Extent(stored - 5 if stored else 0, is_whole=True))

    counts = "7 records of user.events are in Kafka, 12 events in the event store"
    assert _dry_run(topic="user.events") == (f"12 events would be replayed from store ({counts}). Nothing was done.\n")
    assert f"from store ({counts})" in _dry_run(user=str(users[0]))
    assert "from kafka (it has all that fits)" in _dry_run(topic="kraken.events")


def test_a_kafka_that_does_not_answer_is_no_hindrance(users: list[UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BrokerUnavailable("Kafka does not answer.")

    monkeypatch.setattr(completeness, "extents_in_kafka", refuse)

    assert "12 events would be replayed from store (Kafka does not answer" in _dry_run()


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


def test_archived_months_are_not_left_out(checkpointed: list[UUID], this_month: Partition, tmp_path: Path) -> None:
    write_archive(this_month, folder=tmp_path, now=timezone.now())

    assert "12 events would be replayed from store (what fits may be in archived months" in _dry_run(archive=tmp_path)
    with pytest.raises(CommandError, match="Name its folder with --archive, or leave the month out with --since"):
        _dry_run()


def test_an_archived_month_that_ended_within_the_clocks_difference_before_since_is_read(
    checkpointed: list[UUID], this_month: Partition, tmp_path: Path
) -> None:
    first = StoredEvent.objects.order_by("recorded_at")[0].occurred_at
    ArchivedPartition.objects.all().delete()
    write_archive(this_month, folder=tmp_path, now=timezone.now())
    ArchivedPartition.objects.update(ends_at=first - timedelta(minutes=4))
    assert len(list(sources.from_store(EventFilter(since=first), archive_folder=tmp_path))) == 12

    ArchivedPartition.objects.update(ends_at=first - timedelta(minutes=6))
    assert list(sources.from_store(EventFilter(since=first), archive_folder=tmp_path)) == []


@pytest.mark.parametrize("archived", [False, True])
def test_an_aggregate_keeps_its_order_though_a_clock_was_set_back(
    users: list[UUID], this_month: Partition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, archived: bool
) -> None:
    monkeypatch.setattr(sources, "external_sort", partial(external_sort, memory=2_000))
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
        write_archive(this_month, folder=tmp_path, now=timezone.now())

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


def test_a_projection_is_not_rebuilt_from_a_source_that_lacks_events(
    users: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    _kafka_has(monkeypatch, lambda stored: Extent(stored + 2, is_whole=True))

    sentence = (
        "--into takes all events, and Kafka may lack some: 2 records of .* are in Kafka, 0 events in the event store"
    )
    with pytest.raises(CommandError, match=sentence):
        call_command("replay_events", into="alerts", source="kafka", stdout=io.StringIO(), stderr=io.StringIO())
    assert not StoredEvent.objects.filter(event_type__startswith="audit.").exists()


def test_a_replay_from_kafka_that_was_asked_for_says_what_kafka_may_lack(
    checkpointed: list[UUID], this_month: Partition, tmp_path: Path
) -> None:
    write_archive(this_month, folder=tmp_path, now=timezone.now())

    assert _dry_run(source="kafka") == (
        "0 events would be replayed from kafka (what fits may be in archived months, which Kafka does not have). "
        "Nothing was done.\n"
    )


def test_a_dry_run_of_a_rebuild_counts_what_a_handler_takes(users: list[UUID]) -> None:
    with transaction.atomic():
        publish(
            BotError(
                bot_id=users[0], user_id=users[0], code="x", message="It broke.", is_final=False,
                failed_at=timezone.now(),
            ),
            now=timezone.now(),
        )  # fmt: skip
    assert _dry_run(into="alerts") == "1 events would be replayed from store. Nothing was done.\n"
    assert _dry_run(source="store").startswith("13 events")


@pytest.mark.parametrize("rate", ["-5", "0", "nan", "fast"])
def test_a_rate_that_is_no_rate_is_refused(rate: str) -> None:
    with pytest.raises(CommandError, match=f"argument --rate: '{rate}' is not a number"):
        call_command("replay_events", f"--rate={rate}", stdout=io.StringIO(), stderr=io.StringIO())


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
            headers=kafka_headers_of(envelope),
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

    @pytest.fixture
    def sent(
        self, users: list[UUID], topic: str, producer: EventProducer, monkeypatch: pytest.MonkeyPatch
    ) -> list[Envelope]:
        """Every event of the store is in Kafka; the first user's are ten days old."""
        _age(users[0], 10)
        monkeypatch.setattr(completeness, "types_of", lambda _topic: {"user.updated"})
        rows = list(StoredEvent.objects.order_by("recorded_at"))
        for row in rows:
            self._send(producer, topic, envelope_of(row), row.recorded_at)
        return [envelope_of(row) for row in rows]

    def _partition_of(self, topic: str, envelope: Envelope) -> int:
        records = TopicReader([topic]).records()
        return next(int(each.partition) for each in records if from_kafka(each.headers, each.value) == envelope)

    def test_kafka_that_has_every_event_is_the_source(self, sent: list[Envelope]) -> None:
        assert _dry_run() == "12 events would be replayed from kafka (it has all that fits). Nothing was done.\n"

    def test_records_that_were_deleted_make_the_store_the_source(self, topic: str, sent: list[Envelope]) -> None:
        partition = self._partition_of(topic, sent[0])
        with admin_client() as admin:
            admin.delete_records({_partition(topic, partition): 1})

        counts = f"11 records of {topic} are in Kafka, 12 events in the event store"
        assert _dry_run() == (
            f"12 events would be replayed from store (Kafka has deleted the beginning: {counts}). Nothing was done.\n"
        )
        yesterday = (timezone.now() - timedelta(days=1)).isoformat()
        assert _dry_run(since=yesterday).startswith("8 events would be replayed from kafka (it has all that fits)")
        before_all = (timezone.now() - timedelta(days=20)).isoformat()
        assert "from store (Kafka has deleted the beginning" in _dry_run(since=before_all)

    def test_as_many_records_as_events_are_not_all_of_them_where_the_beginning_is_gone(
        self, topic: str, sent: list[Envelope], producer: EventProducer
    ) -> None:
        partition = self._partition_of(topic, sent[0])
        self._send(producer, topic, sent[-1], timezone.now())
        with admin_client() as admin:
            admin.delete_records({_partition(topic, partition): 1})

        assert f"deleted the beginning: 12 records of {topic} are in Kafka, 12 events" in _dry_run()

    def test_more_records_than_events_make_the_store_the_source(
        self, topic: str, sent: list[Envelope], producer: EventProducer
    ) -> None:
        """The state after a restore of the database to an earlier time."""
        self._send(producer, topic, replace(sent[-1], event_id=uuid4()), timezone.now())

        assert f"12 events would be replayed from store (13 records of {topic} are in Kafka, 12 events" in _dry_run()

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
