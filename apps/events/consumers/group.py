"""A consumer group's loop: fetch, handle partition by partition in order, commit what is handled."""

import time
from typing import Any

import structlog
from django.utils import timezone
from kafka import ConsumerRebalanceListener, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from apps.events import heartbeats
from apps.events.consumers import metrics
from apps.events.consumers.arrival import Arrival
from apps.events.consumers.handling import Handling, Result
from apps.events.consumers.housekeeping import Housekeeping
from apps.events.consumers.partition import Partition
from apps.events.consumers.registry import topics_of
from apps.events.kafka import event_consumer
from apps.events.kafka.question import Question

logger = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
# After this long the group shows Kafka that it lives, whatever is left to handle.
SLICE_SECONDS = 1.0
COMMIT_SECONDS = 5.0
PAUSE_SECONDS = 1.0
SECONDS_BETWEEN_CHORES = 1.0
ANSWER_SECONDS = 8.0
CLOSE_SECONDS = 5.0


class GroupConsumer:
    """Reads the topics of one group, or those given. Make it in the thread that runs it, and call `step` until it is
    to stop."""

    def __init__(self, group: str, *, topics: list[str] | None = None) -> None:
        self.group = group
        self.topics = topics or topics_of(group)
        self._handling = Handling(group)
        self._housekeeping = Housekeeping()
        self._consumer: Any = None
        self._question: Question | None = None
        self._work: dict[TopicPartition, Partition] = {}
        self._new: list[Arrival] = []
        self._chores_at = 0.0
        self._measured: set[TopicPartition] = set()
        self._state: tuple[bool, str] = (True, "")

    def step(self) -> float:
        """A little work. Returns the seconds until the next. Raises OperationalError where PostgreSQL is gone."""
        try:
            if self._consumer is None:
                self._connect()
            self._fetch()
        except KafkaError as error:
            logger.warning("Kafka refuses a consumer; it connects again.", group=self.group, error=repr(error))
            self._disconnect()
            return PAUSE_SECONDS
        try:
            self._look_up()
            self._handle_what_is_due()
        finally:
            self._resume_and_commit()
        self._chores()
        return 0.0

    def close(self) -> None:
        """Commits what is handled and leaves the group, so that others take over at once."""
        if self._consumer is not None:
            self._resume_and_commit()
            self._disconnect()

    def _connect(self) -> None:
        self._consumer = event_consumer(group=self.group, client_id=f"muckard-{self.group}")
        self._consumer.subscribe(self.topics, listener=_Listener(self._work))
        self._question = Question(self._consumer._cluster, lambda: None)

    def _disconnect(self) -> None:
        consumer, self._consumer, self._question = self._consumer, None, None
        self._work.clear()
        if consumer is None:
            return
        try:
            consumer.close(autocommit=False, timeout_ms=int(CLOSE_SECONDS * 1000))
        except KafkaError as error:
            logger.warning("A consumer did not leave its group; the group waits for it.", error=repr(error))

    def _fetch(self) -> None:
        waits = [work.seconds_until_due for work in self._work.values() if work.pending]
        seconds = min([POLL_SECONDS, *waits])
        for partition, records in self._consumer.poll(timeout_ms=int(seconds * 1000)).items():
            arrivals = [Arrival.of(record) for record in records]
            self._work.setdefault(partition, Partition()).pending.extend(arrivals)
            self._new += arrivals
        # Until it is handled nothing more is fetched: what is in memory stays bounded.
        self._consumer.pause(*[partition for partition, work in self._work.items() if work.pending])

    def _look_up(self) -> None:
        if self._new:
            self._handling.look_up(self._new)
            self._new = []

    def _handle_what_is_due(self) -> None:
        deadline = time.monotonic() + SLICE_SECONDS
        for work in list(self._work.values()):
            while work.is_due and time.monotonic() < deadline:
                result = self._handling.handle(work.next, attempt=work.attempts + 1)
                if result is Result.AGAIN:
                    work.failed()
                elif result is Result.HELD:
                    work.hold()
                else:
                    work.done()

    def _resume_and_commit(self) -> None:
        """Before the next fetch, for a rebalance comes with a fetch: what is handled is committed by then."""
        try:
            assigned = self._consumer.assignment() or set()
            self._consumer.resume(*[each for each, work in self._work.items() if not work.pending and each in assigned])
            offsets = {
                partition: OffsetAndMetadata(work.position, "", -1)
                for partition, work in self._work.items()
                if work.needs_commit and partition in assigned
            }
            if offsets:
                self._consumer.commit(offsets, timeout_ms=int(COMMIT_SECONDS * 1000))
                for partition in offsets:
                    self._work[partition].committed = self._work[partition].position
        except KafkaError as error:
            # The inbox knows what is handled: delivered again, it is skipped.
            logger.warning("Offsets are not committed; Kafka delivers some events again.", error=repr(error))

    def _chores(self) -> None:
        if time.monotonic() - self._chores_at < SECONDS_BETWEEN_CHORES:
            return
        self._chores_at = time.monotonic()
        self._housekeeping.tidy(now=timezone.now())
        lag = self._measure_lag()
        answered = self._question.outcome(within_seconds=ANSWER_SECONDS) if self._question else None
        if answered is not None:
            self._state = (answered, "" if answered else "Kafka does not answer.")
        is_up, detail = self._state
        if self._handling.breaker.is_open:
            is_up, detail = False, "Stopped: too many events in a row cannot be handled. See the log."
        heartbeats.beat(f"consumer.{self.group}", "up" if is_up else "down", detail or f"lag {lag}")

    def _measure_lag(self) -> int:
        lags: dict[TopicPartition, int] = {}
        for partition in self._consumer.assignment() or ():
            end, position = self._consumer.highwater(partition), self._position(partition)
            if end is not None and position is not None:
                lags[partition] = max(0, end - position)
        for partition in self._measured - lags.keys():
            metrics.lag.remove(self.group, partition.topic, partition.partition)
        for partition, lag in lags.items():
            metrics.lag.labels(group=self.group, topic=partition.topic, partition=partition.partition).set(lag)
        self._measured = set(lags)
        return sum(lags.values())

    def _position(self, partition: TopicPartition) -> int | None:
        work = self._work.get(partition)
        if work is not None and work.pending:
            return work.next.offset
        fetched = self._consumer._subscription.assignment[partition].position
        return None if fetched is None else int(fetched.offset)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Called while the loop waits in poll(): what others may handle now is dropped; if it is ours, it comes again."""

    def __init__(self, work: dict[TopicPartition, Partition]) -> None:
        self._work = work

    def on_partitions_revoked(self, revoked: Any) -> None:
        for partition in revoked:
            self._work.pop(partition, None)

    def on_partitions_assigned(self, assigned: Any) -> None:
        for partition in assigned:
            self._work.pop(partition, None)
