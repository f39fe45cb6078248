"""Prometheus metrics of the relay alone."""

from apps.core.metrics import counter, gauge, histogram

RELAY = ("relay",)

rebuilds = counter("kafka_producer_rebuilds_total", "Kafka producers that were replaced.", ["reason"], processes=RELAY)
batch_seconds = histogram(
    "outbox_relay_batch_seconds",
    "From the first record of a batch to its last acknowledgement.",
    processes=RELAY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
lease_fence = gauge(
    "relay_lease_fence", "The fencing token of a slot that this relay holds.", ["slot"], processes=RELAY
)
