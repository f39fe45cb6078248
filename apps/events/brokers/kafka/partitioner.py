"""Kafka's default partitioner for keys (murmur2), cached because kafka-python computes it in Python."""

from functools import lru_cache

from kafka.partitioner import murmur2


@lru_cache(maxsize=100_000)
def partition_hash(key: bytes) -> int:
    """The hash of a key, as in Kafka's Java client; modulo the number of partitions, it is the key's partition."""
    return int(murmur2(key)) & 0x7FFFFFFF
