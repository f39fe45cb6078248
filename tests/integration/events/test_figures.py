"""Figures that processes read from their servers: never in the way of their work, and right."""

import threading
from typing import Any

import pytest
from django.db import connection
from prometheus_client import REGISTRY

from apps.audit.figures import read_postgresql
from apps.core.process_metrics import database_connections
from apps.events.brokers.kafka.disks import read_disks
from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.process.figures import figures_read
from tests.support.waiting import eventually


def value(name: str, **labels: str) -> Any:
    return REGISTRY.get_sample_value(name, labels)


def test_a_reader_that_fails_is_tried_again_and_says_when_it_last_succeeded() -> None:
    calls: list[int] = []

    def read() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("no answer")

    with figures_read({"flaky": read}, seconds_between=0.01):
        eventually(lambda: value("figures_read_timestamp_seconds", figures="flaky"), what="the third call")

    assert len(calls) >= 3


def test_the_end_of_a_process_does_not_wait_for_a_reader_that_hangs() -> None:
    begun, released = threading.Event(), threading.Event()

    def read() -> None:
        begun.set()
        released.wait(30)

    with figures_read({"hanging": read}):
        assert begun.wait(10)
    released.set()


def test_the_disks_of_kafka_are_read_from_the_broker() -> None:
    read_disks()

    sizes = {sample.value for metric in REGISTRY.collect() for sample in metric.samples
             if sample.name == "kafka_log_dir_total_bytes"}  # fmt: skip
    assert min(sizes) > 1_000_000
    assert value("kafka_up") == 1


def test_a_kafka_that_does_not_answer_is_told_as_down() -> None:
    def fail() -> Any:
        raise BrokerUnavailable("no answer")

    read_disks(fail)

    assert value("kafka_up") == 0


@pytest.mark.django_db
def test_the_checkpointers_role_sees_every_session() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE sealer")
    try:
        read_postgresql()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")

    assert value("postgresql_max_connections") >= 100
    assert value("postgresql_database_size_bytes") > 1_000_000
    assert value("postgresql_oldest_transaction_age_seconds") >= 0


@pytest.mark.django_db(transaction=True)
def test_connections_of_a_process_are_counted_while_they_are_open() -> None:
    connection.ensure_connection()
    before: float = database_connections._value.get()
    counted: list[float] = []

    def other_thread() -> None:
        connection.ensure_connection()
        counted.append(database_connections._value.get())
        connection.close()

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join()

    assert counted == [before + 1]
    assert database_connections._value.get() == before
