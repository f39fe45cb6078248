"""What the relay tells Prometheus."""

import time

from django.db import connection
from prometheus_client import Counter, Gauge, Histogram

published = Counter("outbox_published_total", "Events that Kafka acknowledged or did not.", ["result"])
parked = Counter("outbox_parked_total", "Keys parked because an event of theirs cannot be sent.", ["reason"])
rebuilds = Counter("kafka_producer_rebuilds_total", "Producers that were given up and made anew.", ["reason"])
batch_seconds = Histogram(
    "outbox_relay_batch_seconds",
    "From the first record of a batch to its last acknowledgement.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
breaker_open = Gauge("outbox_breaker_open", "1 while the relay stops rather than park everything.")
lease_epoch = Gauge("relay_lease_epoch", "The fencing token of a slot that this relay holds.", ["shard"])
oldest_age = Gauge("outbox_oldest_age_seconds", "How long the oldest event has been waiting for Kafka.")
pending = Gauge("outbox_pending", "Events that wait for Kafka and are not parked, by slot.", ["shard"])
max_key_depth = Gauge("outbox_max_key_depth", "The most events that wait for one key, among the oldest 10,000.")
parked_keys = Gauge("outbox_parked_keys", "Keys that are parked now.")

SECONDS_BETWEEN_LOOKS = 10.0

_PENDING = """
SELECT slot, count(*), extract(epoch FROM now() - min(created_at)) FROM outbox
 WHERE transport = 'kafka' AND next_attempt_at < 'infinity' AND id > %s GROUP BY slot
"""
_DEPTH = """
SELECT coalesce(max(depth), 0) FROM (
    SELECT count(*) AS depth FROM (
        SELECT key FROM outbox WHERE transport = 'kafka' AND next_attempt_at < 'infinity' AND id > %s
         ORDER BY id LIMIT 10000) AS oldest
     GROUP BY key) AS depths
"""


class OutboxLook:
    """Counts the outbox from time to time: counting a long one is work."""

    def __init__(self) -> None:
        self._looked_at = float("-inf")

    def look(self, *, floor: int) -> None:
        """Counts what lies above the floor. Raises DatabaseError."""
        if time.monotonic() - self._looked_at < SECONDS_BETWEEN_LOOKS:
            return
        self._looked_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(_PENDING, [floor])
            rows = cursor.fetchall()
            pending.clear()
            for slot, count, _ in rows:
                pending.labels(shard=slot).set(count)
            oldest_age.set(max((float(age) for _, _, age in rows), default=0.0))
            cursor.execute(_DEPTH, [floor])
            max_key_depth.set(cursor.fetchone()[0])
