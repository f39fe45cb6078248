"""How far a group is behind the broker's end offsets, and whether its position in each partition still moves."""

from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition

from apps.events.consumers import metrics
from apps.events.process.progress import Progress, Standing

# How long the loop waits for the broker's end offsets. Without an answer the last ones count.
END_OFFSETS_SECONDS = 2.0
# A pause between two observations of more than this is one of the process: it says nothing of the partitions.
LONGEST_GAP_SECONDS = 10.0


class LagWatch:
    """Of one member of a group, in the consumer's thread. Lag is counted in events that are not handled yet."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._ends: dict[TopicPartition, int] = {}
        self._lags: dict[TopicPartition, int] = {}
        self._progress: dict[TopicPartition, Progress] = {}
        self._stalled: dict[TopicPartition, Standing] = {}
        self._observed_at = float("-inf")

    @property
    def total(self) -> int:
        return sum(self._lags.values())

    @property
    def stalled(self) -> dict[TopicPartition, str]:
        """The partitions that have lag and whose position has not moved for 30 s, each with a sentence for a person."""
        return {partition: standing.detail for partition, standing in self._stalled.items()}

    def ask(self, consumer: Any) -> None:
        """Asks the broker where the assigned partitions end. Raises KafkaError.

        The consumer's own high watermark is of its last fetch: it stands still with a partition that is not fetched.
        """
        assigned = sorted(consumer.assignment() or ())
        if assigned:
            self._ends = consumer.end_offsets(assigned, timeout_ms=int(END_OFFSETS_SECONDS * 1000))

    def restart(self) -> None:
        """Counts again from the next observation: the broker does not answer, which explains all that stands still."""
        for progress in self._progress.values():
            progress.restart()

    def observe(self, positions: Mapping[TopicPartition, int | None], *, now: float) -> None:
        """Compares what is handled of each assigned partition with its end. `positions` are the offsets of the next
        events to handle, None where not known yet; `now` is of a monotonic clock, in seconds."""
        if now - self._observed_at > LONGEST_GAP_SECONDS:
            self.restart()
        self._observed_at = now
        for partition in self._progress.keys() - positions.keys():
            self._forget(partition)
        for partition, position in positions.items():
            end = self._ends.get(partition)
            if end is None:
                continue
            # No position after the assignment is no progress either: whatever the partition holds is behind.
            lag = end if position is None else max(0, end - position)
            self._lags[partition] = lag
            metrics.lag.labels(group=self._group, topic=partition.topic, partition=partition.partition).set(lag)
            standing = self._watch(partition).observe(backlog=lag, marker=position, now=now)
            if standing.is_stalled:
                self._stalled[partition] = standing
            else:
                self._stalled.pop(partition, None)

    def _watch(self, partition: TopicPartition) -> Progress:
        if partition not in self._progress:
            place = f"{partition.topic}/{partition.partition}"
            self._progress[partition] = Progress(
                f"event-consumer.{self._group}.{place}", what=f"events of {place}", done="handled"
            )
        return self._progress[partition]

    def _forget(self, partition: TopicPartition) -> None:
        self._progress.pop(partition).forget()
        self._ends.pop(partition, None)
        self._stalled.pop(partition, None)
        if self._lags.pop(partition, None) is not None:
            metrics.lag.remove(self._group, partition.topic, partition.partition)
