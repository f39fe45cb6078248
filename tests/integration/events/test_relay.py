"""Every committed event reaches Kafka as a CloudEvent, in the order of its key."""

import random
import signal
import threading
import time
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg2
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from django.db import connection, transaction
from django.utils import timezone

from apps.core.context import message_context
from apps.events.models import Lease, OutboxRow, ProcessHeartbeat, StoredEvent
from apps.events.outbox.relay.relay import Relay
from apps.events.outbox.relay.shards import Shard
from apps.events.process import heartbeats
from apps.events.store.publish import publish
from apps.events.store.selectors import envelope_of
from apps.messages.base import slot_of
from apps.messages.user import UserUpdated
from tests.support.envelopes import kafka_headers_of
from tests.support.kafka import everything_in, fill_outbox, first_seen, outbox_count, sequences_by_key
from tests.support.relaying import drain, drive, manage, next_records

pytestmark = pytest.mark.django_db(transaction=True)

BATCH = 100


def test_everything_arrives_once_and_leaves_the_outbox(topic: str) -> None:
    keys = [uuid4() for _ in range(20)]
    fill_outbox(topic, keys, 1000)

    drain(topic)

    assert outbox_count(topic) == 0
    assert sequences_by_key(everything_in(topic)) == {str(key): list(range(1, 51)) for key in keys}


def test_a_key_keeps_its_partition_and_the_record_says_the_aggregate(topic: str) -> None:
    keys = [uuid4() for _ in range(30)]
    fill_outbox(topic, keys, 90)

    drain(topic)

    records = everything_in(topic)
    assert {record.key for record in records} == {str(key) for key in keys}
    for key in keys:
        assert len({record.partition for record in records if record.key == str(key)}) == 1
    assert len({record.partition for record in records}) == 3


def test_order_per_key_is_kept_with_concurrent_publishers(topic: str) -> None:
    """Overlapping transactions on shared keys, while the relay runs."""
    keys = sorted(uuid4() for _ in range(6))
    threads = [threading.Thread(target=_publish_at_random, args=(topic, keys, seed)) for seed in range(6)]
    for thread in threads:
        thread.start()
    relay = Relay(batch_rows=20)
    try:
        drive(relay, until=lambda: not any(t.is_alive() for t in threads) and not outbox_count(topic), seconds=60)
    finally:
        relay.close()

    found = sequences_by_key(everything_in(topic))
    assert sum(map(len, found.values())) == StoredEvent.objects.count() > 500
    for numbers in found.values():
        assert numbers == list(range(1, len(numbers) + 1))


def _publish_at_random(topic: str, keys: list[UUID], seed: int) -> None:
    choice = random.Random(seed)
    database = connection.settings_dict
    session = psycopg2.connect(
        host=database["HOST"], port=database["PORT"], dbname=database["NAME"], user=database["USER"],
        password=database["PASSWORD"],
    )  # fmt: skip
    for _ in range(40):
        with session.cursor() as cursor:
            for key in sorted(choice.sample(keys, choice.randint(1, 4))):
                cursor.execute(
                    "SELECT events.append_event(gen_random_uuid(), 'user.updated', 1, 'user', %s, now(), NULL, "
                    "gen_random_uuid(), NULL, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', "
                    "'{}'::bytea, 'kafka', %s, %s)",
                    [str(key), topic, slot_of(key)],
                )
                if choice.random() < 0.3:
                    time.sleep(choice.random() * 0.01)
        if choice.random() < 0.1:
            session.rollback()
        else:
            session.commit()
    session.close()


def test_records_are_cloud_events_in_binary_mode(topic: str) -> None:
    user_id, correlation_id, causation_id = uuid4(), uuid4(), uuid4()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    now = timezone.now()
    context = message_context(correlation_id=correlation_id, causation_id=causation_id, traceparent=trace)
    with context, transaction.atomic():
        event_id = publish(UserUpdated(user_id=user_id, changed=("name",)), now=now)
    OutboxRow.objects.update(destination=topic)

    drain(topic)

    (record,) = everything_in(topic)
    event = from_kafka_event(KafkaMessage(headers=dict(record.headers), key=record.key.encode(), value=record.value))
    assert event.get_specversion() == "1.0"
    assert event.get_id() == str(event_id)
    assert event.get_type() == "user.updated"
    assert event.get_source() == f"/user/{user_id}"
    assert event.get_time() == now
    assert event.get_datacontenttype() == "application/json"
    assert event.get_dataschema() == "urn:muckard:user.updated:v1"
    assert event.get_extension("sequence") == "00000000000000000001"
    assert event.get_extension("partitionkey") == str(user_id)
    assert event.get_extension("correlationid") == str(correlation_id)
    assert event.get_extension("causationid") == str(causation_id)
    assert event.get_extension("traceparent") == trace
    assert event.get_data() == {"changed": ["name"], "user_id": str(user_id)}
    assert dict(record.headers)["traceparent"] == trace.encode()
    assert set(kafka_headers_of(record.envelope)) <= set(record.headers), "the headers that other tests send"


def test_the_envelope_is_read_back_as_it_was_published(topic: str) -> None:
    with transaction.atomic():
        publish(UserUpdated(user_id=uuid4(), changed=("name",)), now=timezone.now())
    OutboxRow.objects.update(destination=topic)

    drain(topic)

    (record,) = everything_in(topic)
    assert record.envelope == envelope_of(StoredEvent.objects.get())


def test_a_relay_killed_between_acknowledgement_and_deletion_loses_and_inverts_nothing(topic: str) -> None:
    keys = [uuid4() for _ in range(7)]
    fill_outbox(topic, keys, 1000)
    with transaction.atomic(), connection.cursor() as cursor:
        # The lock allows reads and blocks deletes: the relay waits with rows that Kafka has acknowledged.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("LOCK TABLE outbox IN SHARE MODE")
        with manage("run_relay", MUCKARD_RELAY_BATCH_ROWS=str(BATCH), MUCKARD_LEASE_SECONDS="2") as relay:
            _wait_until(lambda: len(everything_in(topic)) >= BATCH // 2)
            relay.send_signal(signal.SIGKILL)
            relay.wait()
        # PostgreSQL would still run the DELETE of the killed relay.
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND query LIKE 'DELETE FROM outbox%' AND pid <> pg_backend_pid()"
        )
    sent_before = len(everything_in(topic))

    drain(topic, seconds=40)

    records = everything_in(topic)
    assert BATCH // 2 <= sent_before <= BATCH
    assert len(records) == 1000 + sent_before
    for numbers in sequences_by_key(records).values():
        assert first_seen(numbers) == sorted(set(numbers))
    assert {number for numbers in sequences_by_key(records).values() for number in numbers} == set(range(1, 144))


def test_a_standby_waits_and_takes_over_what_a_dead_relay_held(topic: str) -> None:
    dead, standby = Relay(lease_seconds=1.5), Relay(lease_seconds=1.5)
    try:
        dead.step()
        first_epoch = Lease.objects.get(name="relay.kafka:00").epoch
        fill_outbox(topic, [uuid4()], 5)
        standby.step()
        assert outbox_count(topic) == 5

        drive(standby, until=lambda: outbox_count(topic) == 0, seconds=10)

        assert Lease.objects.get(name="relay.kafka:00").epoch == first_epoch + 1
        assert len(everything_in(topic)) == 5
    finally:
        standby.close()
        dead.close()


def test_a_relay_that_stops_hands_its_slots_over_at_once(topic: str) -> None:
    first, second = Relay(lease_seconds=60), Relay(lease_seconds=60)
    first.step()
    fill_outbox(topic, [uuid4()], 5)

    first.close()

    try:
        drive(second, until=lambda: outbox_count(topic) == 0, seconds=5)
    finally:
        second.close()


def test_a_relay_that_lost_its_leases_sends_nothing_more(topic: str) -> None:
    relay = Relay(lease_seconds=0.5)
    try:
        relay.step()
        Lease.objects.update(owner="somebody else", epoch=7, expires_at=timezone.now() + timedelta(minutes=1))
        time.sleep(0.5)
        fill_outbox(topic, [uuid4()], 5)
        for _ in range(5):
            relay.step()
        assert everything_in(topic) == []
        assert outbox_count(topic) == 5
    finally:
        relay.close()


def test_shards_share_the_slots_without_overlap(topic: str) -> None:
    keys = [uuid4() for _ in range(40)]
    fill_outbox(topic, keys, 400)
    first, second = Relay(Shard(0, 2)), Relay(Shard(1, 2))
    try:
        drive(first, until=lambda: not OutboxRow.objects.filter(slot__in=Shard(0, 2).slots).exists())
        assert {slot_of(UUID(record.key)) % 2 for record in everything_in(topic)} == {0}
        drive(second, until=lambda: outbox_count(topic) == 0)
    finally:
        first.close()
        second.close()
    assert sequences_by_key(everything_in(topic)) == {str(key): list(range(1, 11)) for key in keys}
    assert sorted(Shard(0, 2).slots + Shard(1, 2).slots) == list(range(64))


def test_a_batch_is_cut_at_its_size_in_bytes(topic: str) -> None:
    fill_outbox(topic, [uuid4()], 40, fill=60_000)
    relay = Relay()
    try:
        relay.step()
        in_flight = sum(len(part.records) for part in relay._window)
        assert in_flight * 60_000 <= 1024 * 1024
        drain(topic, relay=relay)
    finally:
        relay.close()
    assert len(everything_in(topic)) == 40


def test_postgresql_that_drops_the_connection_is_waited_for(topic: str) -> None:
    """The relay is another process; its connections are cut several times while it works."""
    keys = [uuid4() for _ in range(5)]
    fill_outbox(topic, keys, 1500)
    cuts = 0
    with manage("run_relay", MUCKARD_RELAY_BATCH_ROWS="20", MUCKARD_LEASE_SECONDS="2"):
        deadline = time.monotonic() + 60
        while outbox_count(topic) and time.monotonic() < deadline:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                    "AND datname = current_database() AND query LIKE '%%outbox%%'"
                )
                cuts += cursor.fetchone()[0]
            time.sleep(0.7)
    assert cuts >= 2
    assert outbox_count(topic) == 0
    for numbers in sequences_by_key(everything_in(topic)).values():
        assert first_seen(numbers) == list(range(1, 301))


def test_a_lost_connection_for_reading_ahead_repeats_nothing(topic: str) -> None:
    fill_outbox(topic, [uuid4() for _ in range(20)], 400)
    relay = Relay(batch_rows=20)
    try:
        drive(relay, until=lambda: outbox_count(topic) < 380)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert cursor.fetchone()[0] >= 1
        drive(relay, until=lambda: outbox_count(topic) == 0)
    finally:
        relay.close()

    assert len(everything_in(topic)) == 400


def test_sigterm_ends_a_relay_with_nothing_under_way_sent_twice(topic: str) -> None:
    fill_outbox(topic, [uuid4() for _ in range(20)], 4000)
    with manage("run_relay", MUCKARD_RELAY_BATCH_ROWS="50") as relay:
        _wait_until(lambda: outbox_count(topic) < 4000)
        relay.send_signal(signal.SIGTERM)
        assert relay.wait(timeout=15) == 0

    assert not Lease.objects.filter(expires_at__gt=timezone.now(), name__startswith="relay.kafka").exists()
    drain(topic)
    assert len(everything_in(topic)) == 4000


def test_the_heartbeats_tell_of_the_relay_and_of_kafka(topic: str) -> None:
    heartbeats._written.clear()  # an earlier test's rows are gone
    fill_outbox(topic, [uuid4()], 1)
    relay = Relay()
    try:
        drive(relay, until=lambda: ProcessHeartbeat.objects.count() == 2, seconds=10)
    finally:
        relay.close()

    assert ProcessHeartbeat.objects.get(name="relay").state == "up"
    assert ProcessHeartbeat.objects.get(name="kafka").state == "up"


def test_no_transaction_is_open_while_kafka_is_waited_for(topic: str) -> None:
    fill_outbox(topic, [uuid4()], 10)
    relay = Relay()
    try:
        relay.step()
        assert relay._window
        assert not connection.in_atomic_block
        assert connection.connection.info.transaction_status == 0  # idle
    finally:
        relay.close()


def test_a_row_without_its_event_is_poison_and_not_passed_over_silently(topic: str) -> None:
    fill_outbox(topic, [uuid4()], 1)
    OutboxRow.objects.update(event_id=uuid4())

    (record,) = next_records(limit=10)

    assert record.value is None


def _wait_until(condition: object, seconds: float = 30.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come"
        time.sleep(0.05)
