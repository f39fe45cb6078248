"""Topics are made as the code says, and what differs on the broker is told."""

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from secrets import token_hex
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from kafka.admin import ConfigResource, ConfigResourceType

from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.brokers.topology import State, kafka
from apps.messages.topics import TOPICS, Topic


@pytest.fixture
def admin() -> Iterator[Any]:
    with admin_client() as client:
        yield client


@pytest.fixture
def wanted(admin: Any) -> Iterator[Topic]:
    """A topic that is not there yet."""
    topic = Topic(f"test.{token_hex(6)}", partitions=2)
    yield topic
    admin.delete_topics([topic.name], raise_errors=False)


def test_a_missing_topic_is_reported_then_made_then_as_declared(admin: Any, wanted: Topic) -> None:
    assert [each.state for each in kafka.check(admin, (wanted,))] == [State.MISSING]
    assert [each.state for each in kafka.declare(admin, (wanted,))] == [State.CREATED]
    assert [each.state for each in kafka.check(admin, (wanted,))] == [State.OK]
    assert [each.state for each in kafka.declare(admin, (wanted,))] == [State.OK]


def test_a_topic_keeps_its_events_for_ninety_days(admin: Any, wanted: Topic) -> None:
    kafka.declare(admin, (wanted,))

    resource = ConfigResource(
        ConfigResourceType.TOPIC, wanted.name, {"retention.ms": None, "min.insync.replicas": None}
    )
    configs = admin.describe_configs([resource], config_filter="all")["topic"][wanted.name]
    assert configs["retention.ms"]["value"] == str(90 * 24 * 60 * 60 * 1000)
    assert configs["min.insync.replicas"]["value"] == "1"


def test_a_changed_retention_is_drift_and_is_put_right(admin: Any, wanted: Topic) -> None:
    kafka.declare(admin, (wanted,))
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, wanted.name, {"retention.ms": "60000"})])

    (finding,) = kafka.check(admin, (wanted,))
    assert finding.state is State.DIFFERS
    assert finding.detail == "retention.ms is 60000, should be 7776000000"

    assert [each.state for each in kafka.declare(admin, (wanted,))] == [State.CHANGED]
    assert [each.state for each in kafka.check(admin, (wanted,))] == [State.OK]


def test_partitions_are_never_added_for_that_would_move_keys(admin: Any, wanted: Topic) -> None:
    kafka.declare(admin, (wanted,))
    wider = replace(wanted, partitions=5)

    (finding,) = kafka.declare(admin, (wider,))

    assert finding.state is State.DIFFERS
    assert "2 partitions, should have 5" in finding.detail
    assert len(admin.describe_topics([wanted.name])[0]["partitions"]) == 2


def test_a_replication_that_the_cluster_cannot_give_is_told(
    admin: Any, wanted: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "replication_factor", lambda: 3)

    (finding,) = kafka.declare(admin, (wanted,))

    assert finding.state is State.MISSING
    assert "Kafka refuses to create it" in finding.detail


def test_the_catalogue_s_topics_are_those_of_the_architecture() -> None:
    assert {topic.name: topic.partitions for topic in TOPICS} == {
        "user.events": 3,
        "onboarding.events": 1,
        "kraken.events": 1,
        "trading.events": 3,
        "audit.events": 1,
    }


def test_the_command_declares_and_then_finds_no_drift() -> None:
    call_command("declare_topology", "--only", "kafka", stdout=StringIO())
    output = StringIO()
    call_command("declare_topology", "--only", "kafka", "--check", stdout=output)
    assert "5 topics, exchanges and queues are as declared (0 of them made now)." in output.getvalue()


def test_the_check_exits_with_an_error_where_something_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka.check, "__defaults__", ((Topic(f"test.{token_hex(6)}", partitions=1),),))
    output = StringIO()
    with pytest.raises(CommandError, match="1 of 1 topics, exchanges and queues differ from the code"):
        call_command("declare_topology", "--only", "kafka", "--check", stdout=output)
    assert "missing  topic test." in output.getvalue()


def test_a_broker_that_is_not_there_is_told_in_a_sentence(nowhere: str) -> None:
    with pytest.raises(BrokerUnavailable, match=f"Kafka at {nowhere} does not answer"), admin_client(seconds=1):
        pass


@pytest.fixture
def nowhere(settings: Any) -> str:
    """An address where nothing listens."""
    address = "127.0.0.1:1"
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"kafka_bootstrap_servers": (address,)})
    return address
