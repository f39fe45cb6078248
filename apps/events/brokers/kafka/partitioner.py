"""The standard partition of a key, as every Kafka client computes it; remembered, for the library does it in Python."""

from functools import lru_cache

from kafka.partitioner.default import murmur2


@lru_cache(maxsize=100_000)
def partition_hash(key: bytes) -> int:
    """Modulo the number of partitions, the partition: murmur2, as in Java."""
    return int(murmur2(key)) & 0x7FFFFFFF
