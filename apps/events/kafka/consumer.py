"""Consumers of a group: nothing is committed but by us, and nothing is skipped where no offset is known."""

from typing import Any

from kafka import KafkaConsumer

from apps.events.kafka.options import client_options, nothing_left_behind

# How long a dead member's partitions stay with it. A living one sends a heartbeat every three seconds.
SESSION_TIMEOUT_MS = 10_000
HEARTBEAT_MS = 3_000
# A member that does not ask for records for this long is taken for dead; the loop asks every few seconds.
POLL_INTERVAL_MS = 60_000


def event_consumer(*, group: str, client_id: str, max_records: int = 500) -> Any:
    """A KafkaConsumer of the group, with no subscription yet. Does not block; not to be shared between threads."""
    with nothing_left_behind() as safe:
        return KafkaConsumer(
            **(client_options(client_id) | safe),
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=POLL_INTERVAL_MS,
            max_poll_records=max_records,
            fetch_max_wait_ms=250,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
