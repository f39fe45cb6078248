"""A consumer group's loop: fetch, handle partition by partition in order, commit what is handled."""

import time
from typing import Any

import structlog
from django.utils import timezone
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from apps.events.brokers.kafka.broker_probe import Question
from apps.events.brokers.kafka.consumer import event_consumer, fetch_position
from apps.events.consumers import metrics
from apps.events.consumers.housekeeping import Housekeeping
from apps.events.consumers.inbound import Arrival
from apps.events.consumers.lag import LagWatch
from apps.events.consumers.membership import Membership
from apps.events.consumers.partition import Partition
from apps.events.consumers.registry import topics_of
from apps.events.consumers.retry_policy import BatchFailed, Handling, Result
from apps.events.process import heartbeats

logger = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
# After this long the group shows Kafka that it lives, whatever is left to handle.
SLICE_SECONDS = 1.0
# So many events of one partition are handled in one transaction, where their handler takes batches.
BATCH = 250
COMMIT_SECONDS = 5.0
PAUSE_SECONDS = 1.0
SECONDS_BETWEEN_CHORES = 1.0
SECONDS_BETWEEN_LAGS = 5.0
ANSWER_SECONDS = 8.0
CLOSE_SECONDS = 5.0
# A group that has not admitted its member for this long is not working.
JOIN_SECONDS = 30.0
# A new client heals a partition that is not fetched any more. Not tried more often than this.
SECONDS_BETWEEN_HEALINGS = 30.0


class GroupConsumer:
    """Reads the topics of one group, or those given. Make it in the thread that runs it, and call `step` until it is
    to stop."""

    def __init__(self, group: str, *, topics: list[str] | None = None) -> None:
        self.group = group
        self.topics = topics or topics_of(group)
        self._handling = Handling(group)
        self._housekeeping = Housekeeping()
        self._lag = LagWatch(group)
        self._consumer: Any = None
        self._question: Question | None = None
        self._work: dict[TopicPartition, Partition] = {}
        self._new: list[Arrival] = []
        self._membership = Membership(self._work)
        self._chores_at = 0.0
        self._lag_at = 0.0
        self._healed_at = float("-inf")
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
        self._membership.left(now=time.monotonic())
        self._consumer.subscribe(self.topics, listener=self._membership)
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
        """In turns: a partition with slow events does not keep the others waiting."""
        deadline = time.monotonic() + SLICE_SECONDS
        while due := [work for work in self._work.values() if work.is_due]:
            for work in due:
                if time.monotonic() >= deadline:
                    return
                self._handle_next(work)

    def _handle_next(self, work: Partition) -> None:
        """One batch, or one event."""
        try:
            count = self._handling.handle_batch(work.first(BATCH))
        except BatchFailed as failed:
            work.alone_until = work.pending[failed.count - 1].offset
            logger.warning(
                "consumer_batch_failed",
                group=self.group,
                events=failed.count,
                error=repr(failed.__cause__),
                advice="Its events are handled one at a time now; the one that fails is named.",
            )
            count = 0
        if count:
            work.done(count)
            return
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
        now = time.monotonic()
        if now - self._chores_at < SECONDS_BETWEEN_CHORES:
            return
        self._chores_at = now
        self._housekeeping.tidy(now=timezone.now())
        answered = self._question.outcome(within_seconds=ANSWER_SECONDS) if self._question else None
        if answered is not None:
            self._state = (answered, "" if answered else "Kafka does not answer.")
        self._measure_lag(now)
        is_up, detail = self._standing(now)
        heartbeats.beat(f"event-consumer.{self.group}", "up" if is_up else "down", detail)
        self._heal(now)

    def _measure_lag(self, now: float) -> None:
        if now - self._lag_at >= SECONDS_BETWEEN_LAGS:
            self._lag_at = now
            try:
                self._lag.ask(self._consumer)
            except KafkaError as error:
                logger.warning("consumer_lag_unknown", group=self.group, error=repr(error))
        if not self._state[0]:
            self._lag.restart()
        assigned = self._consumer.assignment() or ()
        self._lag.observe({partition: self._position(partition) for partition in assigned}, now=now)

    def _standing(self, now: float) -> tuple[bool, str]:
        """Whether the group is up, and what to tell a person. What explains most comes first."""
        is_up, detail = self._state
        if self._handling.breaker.is_open:
            return False, "Stopped: too many events in a row cannot be handled. See the log."
        if not is_up:
            return False, detail
        if self._membership.seconds_outside(now) >= JOIN_SECONDS:
            return False, "The group has not admitted this consumer; see Kafka's log of its group coordinator."
        if self._lag.stalled:
            return False, " ".join(self._lag.stalled.values())
        return True, f"lag {self._lag.total}"

    def _heal(self, now: float) -> None:
        """Connects again where a partition has events, none of them is here to be handled, and none comes."""
        starved = [each for each in self._lag.stalled if not self._pending(each)]
        is_outside = self._membership.seconds_outside(now) >= JOIN_SECONDS
        is_answered, _ = self._state
        if not (is_answered and (starved or is_outside)) or now - self._healed_at < SECONDS_BETWEEN_HEALINGS:
            return
        self._healed_at = now
        metrics.reconnects.labels(group=self.group).inc()
        logger.critical(
            "consumer_stalled",
            group=self.group,
            partitions=[f"{each.topic}/{each.partition}" for each in starved],
            advice="The consumer connects to Kafka again by itself. If this line comes back, look at the broker.",
        )
        self._disconnect()

    def _pending(self, partition: TopicPartition) -> bool:
        work = self._work.get(partition)
        return work is not None and bool(work.pending)

    def _position(self, partition: TopicPartition) -> int | None:
        work = self._work.get(partition)
        if work is not None and work.pending:
            return work.next.offset
        return fetch_position(self._consumer, partition)
