"""Consumers of a group: no automatic commits, and a group without offsets starts at the beginning of a topic."""

import sys
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from apps.events.brokers.kafka import internals
from apps.events.brokers.kafka.broker_probe import BrokerProbe
from apps.events.brokers.kafka.fallback import MetadataThread
from apps.events.brokers.kafka.options import client_options

# A dead member keeps its partitions for this long. A live one sends a heartbeat every three seconds.
SESSION_TIMEOUT_MS = 10_000
HEARTBEAT_MS = 3_000
# A member that does not poll for this long is removed from the group; the loop polls every few seconds.
POLL_INTERVAL_MS = 60_000
# Fetch limits per partition and in total, in bytes. They bound the memory of a consumer.
PARTITION_FETCH_BYTES = 512 * 1024
FETCH_BYTES = 8 * 1024 * 1024


def event_consumer(*, group: str, client_id: str) -> Any:
    """A KafkaConsumer of the group, without a subscription. Does not block. Not thread-safe.

    A poll returns everything that was fetched. Otherwise kafka-python 3.0.12 keeps the rest of a fetch when its
    partition is paused, never returns it, and does not fetch that partition again.
    """
    with internals.closing_on_failure() as network:
        return KafkaConsumer(
            **(client_options(client_id) | network),
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=POLL_INTERVAL_MS,
            max_poll_records=sys.maxsize,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            fetch_max_bytes=FETCH_BYTES,
            fetch_max_wait_ms=250,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )


def fetch_position(consumer: Any, partition: TopicPartition) -> int | None:
    """The offset that is fetched next; None if it is not known yet. Does not wait for the broker."""
    try:
        position = consumer.position(partition, timeout_ms=0)
    except KafkaError:
        return None
    return None if position is None else int(position)


class ConsumerProbe:
    """Broker probe of a consumer. Close it together with the consumer."""

    def __init__(self, consumer: Any, *, client_id: str) -> None:
        self._thread = None if internals.are_checked() else MetadataThread(f"{client_id}-probe")
        request = internals.metadata_requests(consumer) if self._thread is None else self._thread.request
        self._probe = BrokerProbe(request)

    def result(self, *, within_seconds: float) -> bool | None:
        """Whether the broker answers, without blocking; None while an answer is still due."""
        return self._probe.result(within_seconds=within_seconds)

    def close(self) -> None:
        if self._thread is not None:
            self._thread.close()
