"""The standard partition of a key (murmur2, as in Java), remembered: the library computes it in Python each time."""

from functools import lru_cache
from typing import Any

from kafka.partitioner.abc import Partitioner
from kafka.partitioner.default import murmur2


@lru_cache(maxsize=100_000)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


class RememberingPartitioner(Partitioner):  # type: ignore[misc]
    """For records that have a key, as all of ours do. The partitions of a topic are 0 to n-1."""

    def partition(  # noqa: PLR0917 -- the library's signature
        self, topic: str, key: Any, serialized_key: bytes, value: Any, serialized_value: Any, cluster: Any
    ) -> int:
        return _hash(serialized_key) % len(cluster._partitions[topic])
