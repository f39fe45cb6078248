"""RabbitMQ has what the code says, drift is named, and nothing is created or changed by looking."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from kombu import Connection

from apps.events.brokers.topology import State
from apps.events.brokers.topology import rabbitmq as topology
from tests.support.rabbitmq import RabbitMQ

FIXED = {
    "bot.start",
    "bot.stop",
    "bot.trigger_trade",
    "bot.started",
    "bot.stopped",
    "bot.error",
    "kraken.key.test.failed",
}
URGENT = {"bot.trigger_trade", "bot.error", "kraken.key.test.failed"}


@pytest.fixture
def connection(rabbitmq: RabbitMQ) -> Iterator[Connection]:
    with Connection(rabbitmq.url) as opened:
        yield opened
        topology.declare(opened)


def drift(connection: Connection) -> list[tuple[str, State]]:
    return [(finding.what, finding.state) for finding in topology.check(connection) if finding.is_drift]


def test_every_fixed_queue_exists_with_a_dead_letter_queue(connection: Connection, rabbitmq: RabbitMQ) -> None:
    assert FIXED | {f"{name}.dlq" for name in FIXED} <= rabbitmq.names("queues")


def test_every_queue_is_a_durable_quorum_queue_and_work_is_dead_lettered_at_least_once(rabbitmq: RabbitMQ) -> None:
    for queue in rabbitmq.call("GET", f"queues/{rabbitmq.vhost}"):
        arguments = queue["arguments"]
        assert (queue["durable"], arguments["x-queue-type"]) == (True, "quorum"), queue["name"]
        if queue["name"] in FIXED:
            assert arguments["x-dead-letter-strategy"] == "at-least-once"
            assert arguments["x-overflow"] == "reject-publish"
            is_urgent = queue["name"] in URGENT
            assert arguments["x-dead-letter-exchange"] == f"muckard.failures{'.high' if is_urgent else ''}"
            assert arguments["x-dead-letter-routing-key"] == queue["name"]
            assert arguments["x-delivery-limit"] == topology.DELIVERY_LIMIT
            assert arguments["x-max-length"] == topology.MAX_LENGTH


def test_the_delivery_limit_of_no_queue_can_be_reached_by_attempts_or_by_looking() -> None:
    limits = {queue.name: queue.arguments.get("x-delivery-limit", 0) for queue in topology.queues()}

    assert all(limits[name] > 1 + len(settings.ENVIRONMENT.retry_delays_seconds) for name in FIXED)
    assert all(limit == 1_000_000_000 for name, limit in limits.items() if name.endswith(".dlq"))


def test_declaring_twice_changes_nothing(connection: Connection) -> None:
    assert {finding.state for finding in topology.declare(connection)} == {State.OK}


def test_a_missing_queue_is_named_and_not_made(connection: Connection, rabbitmq: RabbitMQ) -> None:
    channel: Any = connection.channel()
    channel.queue_delete("bot.stop")

    found = drift(connection)

    assert ("queue bot.stop", State.MISSING) in found
    assert "bot.stop" not in rabbitmq.names("queues")


def test_a_missing_exchange_is_named_and_not_made(connection: Connection, rabbitmq: RabbitMQ) -> None:
    channel: Any = connection.channel()
    channel.exchange_delete("muckard.dead")

    assert ("exchange muckard.dead", State.MISSING) in drift(connection)
    assert "muckard.dead" not in rabbitmq.names("exchanges")


def test_a_missing_binding_is_named(connection: Connection) -> None:
    channel: Any = connection.channel()
    channel.queue_unbind("bot.started", "muckard.status", "bot.started")

    assert drift(connection) == [("binding muckard.status -> bot.started (bot.started)", State.MISSING)]


def test_changed_arguments_are_named_and_the_queue_is_left_as_it_is(
    connection: Connection, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rabbitmq.call("GET", f"queues/{rabbitmq.vhost}/bot.stop")["arguments"]
    changed = [
        dataclasses.replace(queue, arguments=queue.arguments | {"x-max-length": 7})
        if queue.name == "bot.stop"
        else queue
        for queue in topology.queues()
    ]
    with monkeypatch.context() as patch:
        patch.setattr(topology, "queues", lambda: changed)
        [finding] = [each for each in topology.check(connection) if each.is_drift]
        assert (finding.what, finding.state) == ("queue bot.stop", State.DIFFERS)
        assert "x-max-length" in finding.detail
        assert [each.what for each in topology.declare(connection) if each.is_drift] == ["queue bot.stop"]

    assert rabbitmq.call("GET", f"queues/{rabbitmq.vhost}/bot.stop")["arguments"] == before


def test_another_rung_is_another_queue(
    connection: Connection, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = settings.ENVIRONMENT.model_copy(update={"retry_delays_seconds": (1, 7)})
    monkeypatch.setattr(settings, "ENVIRONMENT", changed)

    created = [finding.what for finding in topology.declare(connection) if finding.state is State.CREATED]

    names = ["muckard.retry.7s", "muckard.retry.high.7s"]
    assert created == [f"{kind} {name}" for kind in ("exchange", "queue") for name in names]
    for name in names:
        assert rabbitmq.call("GET", f"queues/{rabbitmq.vhost}/{name}")["arguments"]["x-message-ttl"] == 7000


def test_the_command_reports_drift_by_its_exit(connection: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("declare_topology", "--check", "--only", "rabbitmq")
    channel: Any = connection.channel()
    channel.queue_delete("bot.stop")

    with pytest.raises(CommandError, match="differ from the code"):
        call_command("declare_topology", "--check", "--only", "rabbitmq")

    assert "missing  queue bot.stop" in capsys.readouterr().out
