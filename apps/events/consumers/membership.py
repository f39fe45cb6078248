"""Membership of a consumer in its group, as reported by Kafka's group coordinator."""

import time
from collections.abc import Callable
from typing import Any

from kafka import ConsumerRebalanceListener, TopicPartition

from apps.events.consumers.partition import Partition


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Rebalance listener, called during poll(). It drops the pending records of every revoked partition from `work`.

    Another member may handle them now. If the partition is assigned again, Kafka delivers them again.
    """

    def __init__(self, work: dict[TopicPartition, Partition], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._work = work
        self._clock = clock
        self._left_at: float | None = None

    def seconds_outside(self, now: float) -> float:
        """Seconds since the member left the group or started to rejoin; 0 while it is a member.

        A member may have no partition.
        """
        return 0.0 if self._left_at is None else now - self._left_at

    def left(self, *, now: float) -> None:
        """Starts the count: the client joins the group, or rejoins it during a rebalance."""
        self._left_at = now

    def on_partitions_revoked(self, revoked: Any) -> None:
        self.left(now=self._clock())
        for partition in revoked:
            self._work.pop(partition, None)

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._left_at = None
        for partition in assigned:
            self._work.pop(partition, None)
