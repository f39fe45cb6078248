"""What docs/asyncapi.json says is what the brokers really have."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from kafka.admin import ConfigResource, ConfigResourceType

from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.topology import kafka
from tests.support.rabbitmq import RabbitMQ

DOCUMENT = json.loads((settings.BASE_DIR / "docs" / "asyncapi.json").read_text())
CHANNELS: dict[str, dict[str, Any]] = DOCUMENT["channels"]
TOPICS = sorted(name for name, channel in CHANNELS.items() if "kafka" in channel["bindings"])
QUEUES = sorted(name for name, channel in CHANNELS.items() if "amqp" in channel["bindings"])


@pytest.fixture(scope="module")
def admin() -> Iterator[Any]:
    with admin_client() as client:
        kafka.declare(client)
        yield client


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_is_as_documented(admin: Any, name: str) -> None:
    documented = CHANNELS[name]["bindings"]["kafka"]
    (described,) = admin.describe_topics([name])
    resource = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": None, "cleanup.policy": None})
    configs = admin.describe_configs([resource], config_filter="all")["topic"][name]

    assert len(described["partitions"]) == documented["partitions"]
    assert int(configs["retention.ms"]["value"]) == documented["topicConfiguration"]["retention.ms"]
    assert [configs["cleanup.policy"]["value"]] == documented["topicConfiguration"]["cleanup.policy"]


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_is_as_documented(rabbitmq: RabbitMQ, name: str) -> None:
    documented = CHANNELS[name]
    real = rabbitmq.call("GET", f"queues/{rabbitmq.vhost}/{name}")

    assert real["durable"] is documented["bindings"]["amqp"]["queue"]["durable"]
    assert {**real["arguments"]} == documented["x-queue-arguments"]


def test_the_brokers_have_no_queue_that_the_document_leaves_out(rabbitmq: RabbitMQ) -> None:
    ours = {name for name in rabbitmq.names("queues") if name.startswith(("muckard.failures", "muckard.retry."))}

    assert rabbitmq.names("queues") - ours - {f"{queue}.dlq" for queue in QUEUES} == set(QUEUES)
