"""A consumer's place in its group, as Kafka's coordinator tells it."""

import time
from typing import Any

from kafka import ConsumerRebalanceListener, TopicPartition

from apps.events.consumers.partition import Partition


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Called while the loop waits in poll(): events that other members may handle now are dropped from `work`. If the
    partition comes back, Kafka delivers them again."""

    def __init__(self, work: dict[TopicPartition, Partition]) -> None:
        self._work = work
        self._left_at: float | None = None

    def seconds_outside(self, now: float) -> float:
        """For how long the member waits to be admitted; 0 while it is. An admitted member may have no partition."""
        return 0.0 if self._left_at is None else now - self._left_at

    def left(self, *, now: float) -> None:
        """The client joins, or joins again after a rebalance has begun."""
        self._left_at = now

    def on_partitions_revoked(self, revoked: Any) -> None:
        self.left(now=time.monotonic())
        for partition in revoked:
            self._work.pop(partition, None)

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._left_at = None
        for partition in assigned:
            self._work.pop(partition, None)
