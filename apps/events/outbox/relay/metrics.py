"""Prometheus metrics of the relay alone."""

from prometheus_client import Counter, Gauge, Histogram

rebuilds = Counter("kafka_producer_rebuilds_total", "Kafka producers that were replaced.", ["reason"])
batch_seconds = Histogram(
    "outbox_relay_batch_seconds",
    "From the first record of a batch to its last acknowledgement.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
lease_fence = Gauge("relay_lease_fence", "The fencing token of a slot that this relay holds.", ["slot"])
