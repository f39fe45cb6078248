"""Kafka topics, declared from apps/messages/topics.py. Partitions are never added: a key must keep its partition."""

from typing import Any

from django.conf import settings
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import for_code

from apps.events.brokers.topology import Finding, State
from apps.messages.topics import TOPICS, Topic

_NO_ERROR = 0
_ALREADY_THERE = 36
_UNKNOWN_TOPIC = 3

TIMEOUT_MS = 15_000


def topic_configs(topic: Topic) -> dict[str, str]:
    """The topic's configuration on the broker. An acknowledged event is on all replicas but one."""
    return {
        "retention.ms": str(int(topic.retention.total_seconds() * 1000)),
        "cleanup.policy": "delete",
        "min.insync.replicas": str(max(1, replication_factor() - 1)),
        "compression.type": "producer",
        # Timestamps are set by the producer, so that a time range means the same in Kafka and in the event store.
        "message.timestamp.type": "CreateTime",
        # The relay's largest request, plus the header of a batch.
        "max.message.bytes": "1048588",
    }


def replication_factor() -> int:
    factor: int = settings.ENVIRONMENT.kafka_replication_factor
    return factor


def declare(admin: Any, topics: tuple[Topic, ...] = TOPICS) -> list[Finding]:
    """Creates missing topics and corrects changed settings. Other partition or replica counts are only reported."""
    present = _describe(admin, topics)
    created = _create(admin, [topic for topic in topics if topic.name not in present])
    return [
        created[topic.name] if topic.name in created else _correct(admin, topic, present[topic.name])
        for topic in topics
    ]


def check(admin: Any, topics: tuple[Topic, ...] = TOPICS) -> list[Finding]:
    """Compares the broker with the code. Changes nothing."""
    present = _describe(admin, topics)
    return [
        _compare(admin, topic, present[topic.name])
        if topic.name in present
        else Finding(f"topic {topic.name}", State.MISSING)
        for topic in topics
    ]


def _describe(admin: Any, topics: tuple[Topic, ...]) -> dict[str, Any]:
    found = {}
    for described in admin.describe_topics([topic.name for topic in topics]):
        code = described["error_code"]
        if code == _NO_ERROR:
            found[described["name"]] = described
        elif code != _UNKNOWN_TOPIC:
            raise for_code(code)(f"Kafka does not describe the topic {described['name']}.")
    return found


def _create(admin: Any, topics: list[Topic]) -> dict[str, Finding]:
    if not topics:
        return {}
    wanted = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": replication_factor(),
            "configs": topic_configs(topic),
        }
        for topic in topics
    }
    answer = admin.create_topics(wanted, timeout_ms=TIMEOUT_MS, raise_errors=False)
    findings = {}
    for result in answer["topics"]:
        what, code = f"topic {result['name']}", result["error_code"]
        if code == _NO_ERROR:
            findings[result["name"]] = Finding(what, State.CREATED)
        elif code == _ALREADY_THERE:  # another process declared it at the same time
            findings[result["name"]] = Finding(what, State.OK)
        else:
            reason = result.get("error_message") or for_code(code).__name__
            findings[result["name"]] = Finding(what, State.MISSING, f"Kafka refuses to create it: {reason}")
    admin.wait_for_topics([name for name, finding in findings.items() if not finding.is_drift], timeout_ms=TIMEOUT_MS)
    return findings


def _compare(admin: Any, topic: Topic, described: dict[str, Any]) -> Finding:
    differences = _fixed_differences(topic, described) + [
        f"{name} is {is_now}, should be {wanted}"
        for name, (is_now, wanted) in _config_differences(admin, topic).items()
    ]
    return _finding(topic, differences)


def _correct(admin: Any, topic: Topic, described: dict[str, Any]) -> Finding:
    differences = _fixed_differences(topic, described)
    changes = _config_differences(admin, topic)
    if changes:
        wanted = {name: value for name, (_, value) in changes.items()}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, wanted)])
    if differences or not changes:
        return _finding(topic, differences)
    detail = "; ".join(f"{name} was {was}, is now {wanted}" for name, (was, wanted) in changes.items())
    return Finding(f"topic {topic.name}", State.CHANGED, detail)


def _finding(topic: Topic, differences: list[str]) -> Finding:
    state = State.DIFFERS if differences else State.OK
    return Finding(f"topic {topic.name}", state, "; ".join(differences))


def _fixed_differences(topic: Topic, described: dict[str, Any]) -> list[str]:
    """Differences that cannot be corrected without moving keys or data."""
    differences = []
    partitions = described["partitions"]
    if len(partitions) != topic.partitions:
        differences.append(
            f"it has {len(partitions)} partitions, should have {topic.partitions}; "
            "adding some would move keys, so move the topic's events to a new one instead"
        )
    replicas = {len(partition["replica_nodes"]) for partition in partitions}
    if replicas != {replication_factor()}:
        differences.append(f"its partitions have {sorted(replicas)} replicas, should have {replication_factor()}")
    return differences


def _config_differences(admin: Any, topic: Topic) -> dict[str, tuple[str, str]]:
    """Settings that differ, by name: the actual and the expected value."""
    expected = topic_configs(topic)
    resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, dict.fromkeys(expected))
    configs = admin.describe_configs([resource], config_filter="all")["topic"][topic.name]
    is_now = {name: str(config["value"]) for name, config in configs.items()}
    return {name: (is_now.get(name, "not set"), value) for name, value in expected.items() if is_now.get(name) != value}
