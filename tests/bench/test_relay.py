"""How fast the relay is: beside a bare kafka-python producer that sends the same records in the same run, with two
shards at once, and from commit to acknowledgement at 1,000 events a second.

Nothing is asserted about time: the machine is shared. That everything arrived is.
"""

import statistics
import subprocess
import threading
import time
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from django.conf import settings
from django.db import connection
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from apps.events.models import OutboxRow
from apps.events.outbox.relay.relay import Relay
from apps.messages.base import slot_of
from tests.bench.figures import record_figure
from tests.support.kafka import everything_in, fill_outbox, outbox_count
from tests.support.relaying import manage, next_records

pytestmark = [pytest.mark.bench, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

EVENTS = 20_000
KEYS = 500
ROUNDS = 5
LATENCY_SECONDS = 15
LATENCY_RATE = 1_000


def test_relay_beside_a_bare_producer(topic: str) -> None:
    keys = [uuid4() for _ in range(KEYS)]
    ratios, rates, bare_rates = [], [], []
    for _ in range(ROUNDS):
        fill_outbox(topic, keys, EVENTS)
        bare_rates.append(_bare_rate(topic))
        rates.append(_relay_rate(topic))
        ratios.append(rates[-1] / bare_rates[-1])
        print(f"\nbare producer {bare_rates[-1]:,.0f}/s, relay {rates[-1]:,.0f}/s: {ratios[-1]:.2f}")
    assert len(everything_in(topic)) == 2 * ROUNDS * EVENTS
    record_figure("relay", rates, "events/s", better="higher")
    record_figure("bare producer", bare_rates, "events/s", better="higher")
    record_figure("relay, of a bare producer's speed", ratios, "", better="higher", goal=0.6)
    print(
        f"median: relay {statistics.median(rates):,.0f} events/s, bare {statistics.median(bare_rates):,.0f}: "
        f"{statistics.median(ratios):.2f} (goal 0.6)"
    )


def test_two_shards_at_once(topic: str) -> None:
    keys = [uuid4() for _ in range(KEYS)]
    for shards in (1, 2):
        fill_outbox(topic, keys, 2 * EVENTS)
        rate = _processes_rate(topic, shards, 2 * EVENTS)
        record_figure(f"{shards} relay process(es) together", rate, "events/s", better="higher")
        print(f"\n{shards} relay process(es): {rate:,.0f} events/s together")
    assert len(everything_in(topic)) == 4 * EVENTS


def test_from_commit_to_acknowledgement(topic: str) -> None:
    """A publisher commits an event a millisecond; a consumer's clock tells when Kafka had it."""
    committed: dict[str, float] = {}
    stop = threading.Event()
    publisher = threading.Thread(target=_publish_steadily, args=(topic, committed))
    acknowledged: dict[str, float] = {}
    reader = threading.Thread(target=_note_arrivals, args=(topic, acknowledged, stop))
    with manage("run_relay"):
        reader.start()
        time.sleep(4)  # the relay is up
        publisher.start()
        publisher.join()
        deadline = time.monotonic() + 30
        while len(acknowledged) < len(committed) and time.monotonic() < deadline:
            time.sleep(0.1)
        stop.set()
        reader.join()
    missing = committed.keys() - acknowledged.keys()
    assert not missing, f"{len(missing)} of {len(committed)} not seen in Kafka; {outbox_count(topic)} in the outbox"
    assert acknowledged.keys() == committed.keys()
    milliseconds = sorted((acknowledged[each] - committed[each]) * 1000 for each in committed)
    p50, p99 = statistics.median(milliseconds), milliseconds[int(len(milliseconds) * 0.99)]
    sizes = f"{len(milliseconds) / LATENCY_SECONDS:,.0f} events/s"
    record_figure("from commit to a consumer, p50", p50, "ms", better="lower", goal=50, note=sizes)
    record_figure("from commit to a consumer, p99", p99, "ms", better="lower", goal=250, note=sizes)
    print(
        f"\n{len(milliseconds) / LATENCY_SECONDS:,.0f} events/s: from commit to a consumer p50 {p50:.1f} ms (goal 50), "
        f"p99 {p99:.1f} ms (goal 250), longest {milliseconds[-1]:.0f} ms"
    )


def _bare_rate(topic: str) -> float:
    records = next_records(limit=EVENTS)
    producer: Any = KafkaProducer(
        bootstrap_servers=list(settings.ENVIRONMENT.kafka_bootstrap_servers),
        api_version=(3, 9),
        enable_idempotence=True,
        acks="all",
        linger_ms=5,
        batch_size=256 * 1024,
    )
    producer.partitions_for(topic)
    began = time.perf_counter()
    futures = [
        producer.send(topic, record.value, record.key, record.headers, timestamp_ms=record.timestamp_ms)
        for record in records
    ]
    producer.flush()
    assert all(future.succeeded() for future in futures)
    seconds = time.perf_counter() - began
    producer.close()
    return EVENTS / seconds


def _relay_rate(topic: str) -> float:
    relay = Relay()
    producer = relay._window.producer
    assert producer.knows(topic, seconds=10)
    relay._keep_leases()
    try:
        began = time.perf_counter()
        while True:
            relay.step()
            if not relay._window and not OutboxRow.objects.exists():
                break
        return EVENTS / (time.perf_counter() - began)
    finally:
        relay.close()


def _processes_rate(topic: str, shards: int, events: int) -> float:
    with ExitStack() as stack:
        relays: list[subprocess.Popen[bytes]] = [
            stack.enter_context(manage("run_relay", "--shard", str(number), "--shards", str(shards)))
            for number in range(shards)
        ]
        while outbox_count(topic) == events:
            time.sleep(0.005)
        began = time.perf_counter()
        while left := outbox_count(topic):
            time.sleep(0.02)
        assert left == 0
        seconds = time.perf_counter() - began
        for relay in relays:
            relay.terminate()
            relay.wait(timeout=20)
    return events / seconds


def _publish_steadily(topic: str, committed: dict[str, float]) -> None:
    database = connection.settings_dict
    session = psycopg2.connect(
        host=database["HOST"], port=database["PORT"], dbname=database["NAME"], user=database["USER"],
        password=database["PASSWORD"],
    )  # fmt: skip
    session.autocommit = True
    keys: list[UUID] = [uuid4() for _ in range(KEYS)]
    began = time.perf_counter()
    with session.cursor() as cursor:
        for number in range(LATENCY_RATE * LATENCY_SECONDS):
            ahead = began + number / LATENCY_RATE - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
            key, event_id = keys[number % KEYS], str(uuid4())
            cursor.execute(
                "SELECT events.append_event(%s, 'user.updated', 1, 'user', %s, now(), NULL, gen_random_uuid(), NULL, "
                "'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', %s, 'kafka', %s, %s)",
                [event_id, str(key), b'{"text":"' + b"x" * 385 + b'"}', topic, slot_of(key)],
            )
            committed[event_id] = time.perf_counter()
    session.close()


def _note_arrivals(topic: str, arrived: dict[str, float], stop: threading.Event) -> None:
    consumer: Any = KafkaConsumer(
        bootstrap_servers=list(settings.ENVIRONMENT.kafka_bootstrap_servers),
        api_version=(3, 9),
        enable_auto_commit=False,
    )
    consumer.assign([TopicPartition(topic, number) for number in range(3)])
    consumer.seek_to_beginning()
    while not stop.is_set():
        for records in consumer.poll(timeout_ms=50).values():
            now = time.perf_counter()
            for record in records:
                arrived.setdefault(dict(record.headers)["ce_id"].decode(), now)
    consumer.close()
