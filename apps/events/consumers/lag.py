"""Consumer lag against the broker's end offsets, and detection of partitions whose position does not move."""

from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition

from apps.events.consumers import metrics
from apps.events.consumers.process import consumer_process
from apps.events.process.progress import Health, Progress

# Timeout for the broker's end offsets. If it expires, the last known ones are used.
END_OFFSETS_SECONDS = 2.0
# A longer gap between two observations means that the process itself was paused, so no partition counts as stalled.
LONGEST_GAP_SECONDS = 10.0


class LagWatch:
    """Lag of one group member, in events that are not handled yet. Runs in the consumer's thread."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._ends: dict[TopicPartition, int] = {}
        self._lags: dict[TopicPartition, int] = {}
        self._progress: dict[TopicPartition, Progress] = {}
        self._stalled: dict[TopicPartition, Health] = {}
        self._observed_at = float("-inf")

    @property
    def total(self) -> int:
        return sum(self._lags.values())

    @property
    def stalled(self) -> dict[TopicPartition, str]:
        """Partitions with lag whose position has not moved for 30 s, each with an explanation for an operator."""
        return {partition: health.detail for partition, health in self._stalled.items()}

    def request_end_offsets(self, consumer: Any) -> None:
        """Requests the end offsets of the assigned partitions from the broker. Raises KafkaError.

        The consumer's own high watermark is not used: it is as old as the last fetch, so it does not move for a
        partition that is not fetched.
        """
        assigned = sorted(consumer.assignment() or ())
        if assigned:
            self._ends = consumer.end_offsets(assigned, timeout_ms=int(END_OFFSETS_SECONDS * 1000))

    def restart(self) -> None:
        """Restarts every stall timer: while the broker does not answer, no partition can move."""
        for progress in self._progress.values():
            progress.restart()

    def observe(self, positions: Mapping[TopicPartition, int | None], *, now: float) -> None:
        """Updates the lag of each assigned partition. `positions` holds the offset of the next event to handle, or None
        if it is not known yet; `now` is a monotonic time in seconds."""
        if now - self._observed_at > LONGEST_GAP_SECONDS:
            self.restart()
        self._observed_at = now
        for partition in self._progress.keys() - positions.keys():
            self._forget(partition)
        for partition, position in positions.items():
            end = self._ends.get(partition)
            if end is None:
                continue
            # Without a position, everything in the partition counts as lag, and no progress is made.
            lag = end if position is None else max(0, end - position)
            self._lags[partition] = lag
            metrics.lag.labels(group=self._group, topic=partition.topic, partition=partition.partition).set(lag)
            health = self._watch(partition).observe(backlog=lag, marker=position, now=now)
            if health.is_stalled:
                self._stalled[partition] = health
            else:
                self._stalled.pop(partition, None)

    def _watch(self, partition: TopicPartition) -> Progress:
        if partition not in self._progress:
            place = f"{partition.topic}/{partition.partition}"
            self._progress[partition] = Progress(
                f"{consumer_process()}.{self._group}.{place}", what=f"events of {place}", done="handled"
            )
        return self._progress[partition]

    def _forget(self, partition: TopicPartition) -> None:
        self._progress.pop(partition).forget()
        self._ends.pop(partition, None)
        self._stalled.pop(partition, None)
        if self._lags.pop(partition, None) is not None:
            metrics.lag.remove(self._group, partition.topic, partition.partition)
