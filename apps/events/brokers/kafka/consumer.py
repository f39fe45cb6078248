"""Consumers of a group: nothing is committed but by us, and nothing is skipped where no offset is known."""

import sys
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from apps.events.brokers.kafka.options import client_options, nothing_left_behind

# How long a dead member's partitions stay with it. A living one sends a heartbeat every three seconds.
SESSION_TIMEOUT_MS = 10_000
HEARTBEAT_MS = 3_000
# A member that does not ask for records for this long is taken for dead; the loop asks every few seconds.
POLL_INTERVAL_MS = 60_000
# What one fetch brings bounds memory, in bytes: of one partition and of all together.
PARTITION_FETCH_BYTES = 512 * 1024
FETCH_BYTES = 8 * 1024 * 1024


def event_consumer(*, group: str, client_id: str) -> Any:
    """A KafkaConsumer of the group, with no subscription yet. Does not block; not to be shared between threads.

    A poll returns all that was fetched: kafka-python 3.0.12 never hands out what is left of a fetch when its partition
    is paused, and then does not fetch that partition again (`Fetcher._paused_partition_records`).
    """
    with nothing_left_behind() as safe:
        return KafkaConsumer(
            **(client_options(client_id) | safe),
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
    """The offset that is fetched next; None before it is known. Unlike `KafkaConsumer.position` it does not block."""
    state = consumer._subscription.assignment.get(partition)
    position = state.position if state is not None else None
    return None if position is None else int(position.offset)
