"""The clients do not do what the library's own do by default: block, leak, fall silent, or raise when closed."""

import gc
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kafka.producer.kafka
import pytest
from django.conf import settings
from kafka.errors import IllegalStateError, KafkaTimeoutError, MessageSizeTooLargeError

from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.kafka.consumer import event_consumer
from apps.events.brokers.kafka.internals import PipelinedProducer
from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.brokers.kafka.producer import EventProducer
from tests.support.kafka import everything_in
from tests.support.relaying import ROOT


@pytest.fixture
def no_broker(settings: Any) -> None:
    """An address where nothing listens."""
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"kafka_bootstrap_servers": ("127.0.0.1:1",)})


def _descriptors() -> int:
    gc.collect()  # a socket whose connection was refused is closed when it is collected
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


def _send(producer: EventProducer, topic: str, value: bytes = b"{}") -> Any:
    return producer.send(topic, key=b"key", value=value, headers=[("ce_id", b"1")], timestamp_ms=1)


@pytest.mark.usefixtures("client_version")
def test_constructors_do_not_wait_for_a_broker_that_is_down(no_broker: None) -> None:
    began = time.monotonic()
    producer, consumer = EventProducer("test"), event_consumer(group="test", client_id="test")
    assert time.monotonic() - began < 2
    producer.end()
    consumer.close(autocommit=False, timeout_ms=100)


@pytest.fixture
def no_log() -> Iterator[None]:
    """pytest keeps what is logged, and with it the exceptions and the clients in their frames."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_failed_constructors_leave_no_thread_and_no_descriptor() -> None:
    # In a process of its own: clients of other tests come and go in this one.
    script = f"import django; django.setup(); from {__name__} import fail_again_and_again; fail_again_and_again()"
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def fail_again_and_again() -> None:
    logging.disable(logging.CRITICAL)
    assert _fails_to_connect()
    threads, descriptors = set(threading.enumerate()), _descriptors()
    for _ in range(5):
        assert _fails_to_connect()
    assert not set(threading.enumerate()) - threads
    assert _descriptors() < descriptors + 5  # the library's own leave four behind each time


def _fails_to_connect() -> bool:
    try:
        with admin_client(seconds=0.3):
            return False
    except BrokerUnavailable:
        return True


def test_producers_that_come_and_go_leave_no_thread_and_no_descriptor(topic: str, no_log: None) -> None:
    def one() -> None:
        producer = EventProducer("test")
        assert producer.knows(topic, seconds=10)
        _send(producer, topic).get(10)
        producer.end()

    one()
    threads, descriptors = set(threading.enumerate()), _descriptors()
    for _ in range(5):
        one()
    assert not set(threading.enumerate()) - threads
    assert _descriptors() <= descriptors


def test_a_producer_that_is_collected_leaves_the_library_s_logger_alone(
    no_broker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A bare producer of another test may have been collected before.
    monkeypatch.setattr(kafka.producer.kafka, "log", logging.getLogger("kafka.producer.kafka"))
    producer = EventProducer("test")
    producer.end()
    del producer
    forgotten = EventProducer("test")
    del forgotten
    gc.collect()
    assert isinstance(kafka.producer.kafka.log, logging.Logger)


def test_ending_a_producer_with_records_under_way_is_quick_and_fails_their_futures(topic: str) -> None:
    producer = EventProducer("test")
    assert producer.knows(topic, seconds=10)
    # What lies in the accumulator of a partition whose broker does not answer.
    producer._client._kafka._accumulator.muted.update(set(producer._client._kafka._metadata.partitions_for_broker(1)))
    future = _send(producer, topic)

    began = time.monotonic()
    producer.end()

    assert time.monotonic() - began < 3.5
    assert isinstance(future.exception, IllegalStateError)
    assert producer.failure is None  # nobody refused anything
    assert not producer._client._kafka._sender.is_alive()


@pytest.mark.usefixtures("client_version")
def test_after_a_failure_nothing_more_is_sent(topic: str) -> None:
    producer = EventProducer("test")
    assert producer.knows(topic, seconds=10)
    refusal = KafkaTimeoutError("told by the test")

    producer._failed(refusal)

    assert producer.failure is refusal
    with pytest.raises(IllegalStateError):
        _send(producer, topic)
    producer.end()
    assert everything_in(topic) == []


@pytest.mark.usefixtures("client_version")
def test_a_topic_that_does_not_exist_is_known_as_such_and_is_not_made(topic: str) -> None:
    producer = EventProducer("test")
    try:
        assert producer.knows(topic, seconds=10) is True
        assert producer.knows("test.typo", seconds=10) is False
        if isinstance(producer._client, PipelinedProducer):
            # Requested once, and not with every metadata request from then on.
            assert "test.typo" not in producer._client._kafka._metadata._topics
    finally:
        producer.end()
    with admin_client() as admin:
        assert "test.typo" not in admin.list_topics()


@pytest.mark.usefixtures("client_version")
def test_a_broker_that_is_down_is_not_taken_for_a_missing_topic(no_broker: None) -> None:
    producer = EventProducer("test")
    try:
        with pytest.raises(BrokerUnavailable):
            producer.knows("user.events", seconds=0.5)
        assert producer.answers(within_seconds=0.1) is None
        time.sleep(0.2)
        assert producer.answers(within_seconds=0.1) is False
    finally:
        producer.end()


@pytest.mark.usefixtures("client_version")
def test_keys_get_the_partition_that_every_kafka_client_gives_them(topic: str) -> None:
    library: Any = kafka.KafkaProducer(bootstrap_servers=list(settings.ENVIRONMENT.kafka_bootstrap_servers))
    ours = EventProducer("test")
    try:
        assert ours.knows(topic, seconds=10)
        for number in range(50):
            key = f"key-{number}".encode()
            sent = ours.send(topic, key=key, value=b"{}", headers=[], timestamp_ms=1)
            expected = library.send(topic, key=key, value=b"{}").get(10)
            assert sent.get(10).partition == expected.partition
    finally:
        ours.end()
        library.close()


@pytest.mark.usefixtures("client_version")
def test_a_record_that_is_too_large_is_refused_before_it_is_sent(topic: str) -> None:
    producer = EventProducer("test", max_request_bytes=10_000)
    try:
        assert producer.knows(topic, seconds=10)
        with pytest.raises(MessageSizeTooLargeError):
            _send(producer, topic, b"x" * 10_000)
        assert _send(producer, topic, b"x" * 9_000).get(10).offset == 0
        assert producer.failure is None
    finally:
        producer.end()


@pytest.mark.parametrize("service", ["kraken", "staff"])
def test_processes_that_answer_requests_do_not_even_load_the_client(service: str) -> None:
    program = (
        "import importlib, os, sys; from manage import PROJECTS; project = PROJECTS[os.environ['SERVICE']];"
        "os.environ['DJANGO_SETTINGS_MODULE'] = f'{project}.settings';"
        "[importlib.import_module(f'{project}.{name}') for name in ('wsgi', 'urls')];"
        "sys.exit('kafka' in sys.modules)"
    )
    environment = {**os.environ, "SERVICE": service, "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"}
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=False, timeout=60)
    assert result.returncode == 0
