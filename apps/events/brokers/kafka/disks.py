"""How full the disks of Kafka's brokers are, as the brokers tell (KIP-827, Kafka 3.3 and later)."""

from collections.abc import Callable, Iterable
from typing import Any

import structlog
from kafka.errors import KafkaError

from apps.core.metrics import gauge
from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.kafka.options import BrokerUnavailable

log = structlog.get_logger(__name__)

_LABELS = ["broker", "folder"]
total = gauge(
    "kafka_log_dir_total_bytes", "Size of the disk that holds a broker's folder.", _LABELS, processes=["relay"]
)
usable = gauge("kafka_log_dir_usable_bytes", "What of it is free.", _LABELS, processes=["relay"])
up = gauge("kafka_up", "1 while Kafka answers the relay's questions about its disks.", processes=["relay"])


def describe_log_dirs() -> list[dict[str, Any]]:
    """Raises KafkaError, BrokerUnavailable."""
    with admin_client(client_id="muckard-disks") as client:
        found: list[dict[str, Any]] = client.describe_log_dirs()
    return found


def read_disks(describe: Callable[[], Iterable[dict[str, Any]]] = describe_log_dirs) -> None:
    """Sets the gauges. While Kafka does not answer, they keep their values, and `kafka_up` is 0."""
    try:
        brokers = describe()
    except (KafkaError, BrokerUnavailable) as error:
        up.set(0)
        log.info("kafka_disks_not_read", error=type(error).__name__)
        return
    up.set(1)
    for broker in brokers:
        for folder in broker["log_dirs"]:
            # A broker of an earlier version tells -1.
            if folder.get("total_bytes", -1) >= 0:
                total.labels(broker["broker"], folder["log_dir"]).set(folder["total_bytes"])
                usable.labels(broker["broker"], folder["log_dir"]).set(folder["usable_bytes"])
