"""A queue whose declaration has changed is replaced; no message is lost, beside publishers and killed at any step."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import amqp
import pytest
from django.conf import settings
from django.core.management import call_command
from kombu import Connection

from apps.events.brokers.rabbitmq import queue_replacement
from apps.events.brokers.rabbitmq.queue_replacement import QueueInUse, holding_name, outdated, replace
from apps.events.brokers.rabbitmq.reader import QueueReader
from apps.events.brokers.topology import rabbitmq as topology
from tests.support.rabbitmq import RabbitMQ

QUEUE = "bot.stop"
COUNT = 450


@pytest.fixture
def spec(rabbitmq: RabbitMQ) -> Iterator[topology.QueueSpec]:
    """The queue as an earlier release declared it; what is yielded is its declaration now."""
    declared = next(each for each in topology.queues() if each.name == QUEUE)
    with rabbitmq.channel() as channel:
        channel.queue_delete(QUEUE)
        channel.queue_declare(
            QUEUE, durable=True, auto_delete=False, arguments=topology.QUORUM | {"x-max-length": 77_777}
        )
        for exchange, key in declared.bindings:
            channel.queue_bind(QUEUE, exchange, key)
    yield declared
    with rabbitmq.channel() as channel:
        for queue in (QUEUE, holding_name(QUEUE)):
            channel.queue_delete(queue)
    rabbitmq.declare()


@pytest.fixture
def without_management(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        settings, "ENVIRONMENT", settings.ENVIRONMENT.model_copy(update={"rabbitmq_management_url": None})
    )
    monkeypatch.setattr(queue_replacement, "SETTLE_SECONDS", 0.2)


def publish(rabbitmq: RabbitMQ, numbers: range) -> None:
    with Connection(rabbitmq.url, transport_options={"confirm_publish": True}) as connection:
        channel: Any = connection.channel()
        for number in numbers:
            message = amqp.Message(str(number).encode(), message_id=str(number), delivery_mode=2, application_headers={
                "x-attempt": number, "x-death": [{"queue": QUEUE, "count": 1}]})  # fmt: skip
            channel.basic_publish(message, topology.COMMANDS, QUEUE, mandatory=True)


def bodies(rabbitmq: RabbitMQ) -> list[int]:
    return [int(message.body) for message in rabbitmq.take(QUEUE, at_most=100_000)]


def assert_replaced(rabbitmq: RabbitMQ, spec: topology.QueueSpec) -> None:
    found = rabbitmq.call("GET", f"queues/{rabbitmq.vhost}/{QUEUE}")["arguments"]
    assert found == spec.arguments
    assert not [name for kind in ("queues", "exchanges") for name in rabbitmq.names(kind) if ".moving." in name]
    bound = {(exchange, key) for exchange, queue, key in rabbitmq.bindings() if queue == QUEUE and exchange}
    assert bound == set(spec.bindings)


@pytest.mark.usefixtures("without_management")
def test_every_message_is_in_the_successor_in_its_order_with_its_key_and_headers(
    rabbitmq: RabbitMQ, spec: topology.QueueSpec
) -> None:
    publish(rabbitmq, range(COUNT))
    with Connection(rabbitmq.url) as connection:
        assert outdated(connection, topology.queues()) == [spec]

    # There, and back.
    assert replace([spec]) == 2 * COUNT

    messages = rabbitmq.take(QUEUE)
    assert [int(message.body) for message in messages] == list(range(COUNT))
    assert {message.delivery_info["routing_key"] for message in messages} == {QUEUE}
    assert [message.headers["x-attempt"] for message in messages] == list(range(COUNT))
    assert_replaced(rabbitmq, spec)
    with Connection(rabbitmq.url) as connection:
        assert outdated(connection, topology.queues()) == []


@pytest.mark.usefixtures("without_management")
def test_what_is_published_meanwhile_arrives(rabbitmq: RabbitMQ, spec: topology.QueueSpec) -> None:
    publish(rabbitmq, range(100))
    ended = threading.Event()
    sent: list[int] = []

    def keep_publishing() -> None:
        with Connection(rabbitmq.url, transport_options={"confirm_publish": True}) as connection:
            channel: Any = connection.channel()
            while not ended.is_set():
                number = 1000 + len(sent)
                channel.basic_publish(amqp.Message(str(number).encode()), topology.COMMANDS, QUEUE, mandatory=True)
                sent.append(number)

    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(keep_publishing)
        replace([spec])
        ended.set()
        publishing.result(10)

    assert len(sent) > 10
    assert set(bodies(rabbitmq)) == {*range(100), *sent}
    assert_replaced(rabbitmq, spec)


class Killed(BaseException):
    """Ends the replacement where it is, as a kill would."""


@pytest.mark.usefixtures("without_management")
@pytest.mark.parametrize("step", ["queue_replacement_begun", "first move", "queue_deleted", "declared", "last move"])
def test_one_that_is_killed_at_any_step_is_finished_by_the_next(
    rabbitmq: RabbitMQ, spec: topology.QueueSpec, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    publish(rabbitmq, range(COUNT))
    acknowledge = QueueReader.ack

    def die_at(event: str, **_: Any) -> None:
        if event == step:
            raise Killed

    def die_between_confirm_and_acknowledgement(reader: Any, messages: Any) -> None:
        holds = reader._channels[0].queues[0] == holding_name(QUEUE)
        if step == ("last move" if holds else "first move"):
            acknowledge(reader, messages[:7])
            raise Killed
        acknowledge(reader, messages)

    def die_once_declared(*_: Any) -> None:
        if step == "declared":
            raise Killed
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(queue_replacement.logger, "info", die_at, raising=False)
        patch.setattr(QueueReader, "ack", die_between_confirm_and_acknowledgement)
        if step == "declared":
            patch.setattr(queue_replacement._Replacement, "_return", die_once_declared)
        with pytest.raises(Killed):
            replace([spec])
    publish(rabbitmq, range(COUNT, COUNT + 10))

    with Connection(rabbitmq.url) as connection:
        replace(outdated(connection, topology.queues()))

    found = bodies(rabbitmq)
    assert set(found) == set(range(COUNT + 10))
    # At most one batch arrives twice.
    assert len(found) <= COUNT + 10 + queue_replacement.BATCH
    assert_replaced(rabbitmq, spec)


@pytest.mark.usefixtures("without_management")
def test_two_at_once_replace_it_once(rabbitmq: RabbitMQ, spec: topology.QueueSpec) -> None:
    publish(rabbitmq, range(100))

    with ThreadPoolExecutor(2) as pool:
        moved = list(pool.map(lambda _: replace([spec]), range(2)))

    assert sorted(moved) == [0, 200]
    assert bodies(rabbitmq) == list(range(100))
    assert_replaced(rabbitmq, spec)


@pytest.mark.usefixtures("without_management")
def test_a_queue_with_consumers_stays_as_it_is_where_nobody_can_say_what_they_hold(
    rabbitmq: RabbitMQ, spec: topology.QueueSpec
) -> None:
    publish(rabbitmq, range(20))
    with rabbitmq.channel() as worker:
        worker.basic_qos(0, 3, False)
        held: list[Any] = []
        worker.basic_consume(QUEUE, callback=held.append)
        worker.connection.drain_events(timeout=5)

        with pytest.raises(QueueInUse, match=f"Queue {QUEUE} has 1 consumers"):
            replace([spec], wait_seconds=1)

        assert rabbitmq.call("GET", f"queues/{rabbitmq.vhost}/{QUEUE}")["arguments"]["x-max-length"] == 77_777
        publish(rabbitmq, range(20, 30))

    assert set(bodies(rabbitmq)) == set(range(30))
    assert not [name for name in rabbitmq.names("queues") if ".moving." in name]


def test_a_worker_at_work_is_waited_for_and_keeps_nothing_from_being_replaced(
    rabbitmq: RabbitMQ, spec: topology.QueueSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command, with the management plugin: the worker stays connected, and finishes one of its messages late."""
    publish(rabbitmq, range(5))
    with rabbitmq.channel() as worker, ThreadPoolExecutor(1) as pool:
        worker.basic_qos(0, 2, False)
        held: list[Any] = []
        worker.basic_consume(QUEUE, callback=held.append)
        while len(held) < 2:
            worker.connection.drain_events(timeout=5)

        replacing = pool.submit(call_command, "declare_topology", "--only", "rabbitmq")
        with pytest.raises(TimeoutError):
            replacing.result(8)
        worker.basic_ack(held[0].delivery_tag)
        worker.basic_reject(held[1].delivery_tag, requeue=True)
        worker.close()
        replacing.result(60)

    assert set(bodies(rabbitmq)) == {int(held[1].body), 2, 3, 4}
    assert_replaced(rabbitmq, spec)
    assert f"changed  queue {QUEUE}  replaced; its messages are in it" in capsys.readouterr().out
