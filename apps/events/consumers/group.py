"""Main loop of a consumer group: fetch, handle each partition in offset order, commit the handled offsets."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from apps.events.brokers.kafka.consumer import ConsumerProbe, event_consumer, fetch_position
from apps.events.consumers import metrics
from apps.events.consumers.inbound import InboundRecord
from apps.events.consumers.lag import LagWatch
from apps.events.consumers.membership import Membership
from apps.events.consumers.partition import Partition
from apps.events.consumers.process import consumer_process
from apps.events.consumers.registry import topics_of
from apps.events.consumers.retry_policy import BatchFailed, Result, RetryPolicy
from apps.events.process import heartbeats

logger = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
# Handling stops after this long for the next poll, which keeps the group membership alive.
SLICE_SECONDS = 1.0
# Largest number of events that a batch handler gets in one transaction.
BATCH_EVENTS = 250
COMMIT_SECONDS = 5.0
RECONNECT_SECONDS = 1.0
MAINTENANCE_SECONDS = 1.0
SECONDS_BETWEEN_LAGS = 5.0
PROBE_TIMEOUT_SECONDS = 8.0
CLOSE_SECONDS = 5.0
# The group counts as down if a consumer has not become a member after this long.
JOIN_SECONDS = 30.0
# Minimum time between two reconnects of a stalled consumer.
SECONDS_BETWEEN_RECONNECTS = 30.0


class GroupConsumer:
    """Consumes the topics of one group, or the topics given.

    Not thread-safe: create it in the thread that calls `step`. `clock` gives seconds that never jump.
    """

    def __init__(
        self, group: str, *, topics: list[str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self.group = group
        self.topics = topics or topics_of(group)
        self._policy = RetryPolicy(group)
        self._lag = LagWatch(group)
        self._consumer: Any = None
        self._probe: ConsumerProbe | None = None
        self._work: dict[TopicPartition, Partition] = {}
        self._unchecked: list[InboundRecord] = []
        self._membership = Membership(self._work, clock=clock)
        self._maintained_at = 0.0
        self._lag_at = 0.0
        self._reconnected_at = float("-inf")
        self._broker: tuple[bool, str] = (True, "")

    def step(self) -> float:
        """One round of the loop.

        Returns the delay in seconds until the next. Raises OperationalError if PostgreSQL is down.
        """
        try:
            if self._consumer is None:
                self._connect()
            self._fetch()
        except KafkaError as error:
            logger.warning("consumer_disconnected", group=self.group, error=repr(error))
            self._disconnect()
            return RECONNECT_SECONDS
        try:
            self._look_up_blocked_keys()
            self._handle_due()
        finally:
            self._resume_and_commit()
        self._maintain()
        return 0.0

    def close(self) -> None:
        """Commits the handled offsets and leaves the group, so that other members take over at once."""
        if self._consumer is not None:
            self._resume_and_commit()
            self._disconnect()

    def _connect(self) -> None:
        client_id = f"muckard-{self.group}"
        self._consumer = event_consumer(group=self.group, client_id=client_id)
        self._membership.left(now=self._clock())
        self._consumer.subscribe(self.topics, listener=self._membership)
        self._probe = ConsumerProbe(self._consumer, client_id=client_id)

    def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        probe, self._probe = self._probe, None
        self._work.clear()
        if probe is not None:
            probe.close()
        if consumer is None:
            return
        try:
            consumer.close(autocommit=False, timeout_ms=int(CLOSE_SECONDS * 1000))
        except KafkaError as error:
            logger.warning(
                "consumer_left_without_notice",
                group=self.group,
                error=repr(error),
                advice="Its partitions are reassigned after the session timeout.",
            )

    def _fetch(self) -> None:
        waits = [work.seconds_until_due for work in self._work.values() if work.pending]
        seconds = min([POLL_SECONDS, *waits])
        for partition, records in self._consumer.poll(timeout_ms=int(seconds * 1000)).items():
            inbound = [InboundRecord.of(record) for record in records]
            self._work.setdefault(partition, Partition(self._clock)).pending.extend(inbound)
            self._unchecked += inbound
        # A partition is not fetched again until its pending records are handled, which bounds memory.
        self._consumer.pause(*[partition for partition, work in self._work.items() if work.pending])

    def _look_up_blocked_keys(self) -> None:
        if self._unchecked:
            self._policy.look_up(self._unchecked)
            self._unchecked = []

    def _handle_due(self) -> None:
        """Handles the due partitions in turns, so that slow events of one partition do not delay the others."""
        deadline = self._clock() + SLICE_SECONDS
        while due := [work for work in self._work.values() if work.is_due]:
            for work in due:
                if self._clock() >= deadline:
                    return
                self._handle_next(work)

    def _handle_next(self, work: Partition) -> None:
        """Handles one batch or one event."""
        try:
            count = self._policy.handle_batch(work.first(BATCH_EVENTS))
        except BatchFailed as failed:
            work.single_until = work.pending[failed.count - 1].offset
            logger.warning(
                "consumer_batch_failed",
                group=self.group,
                events=failed.count,
                error=repr(failed.__cause__),
                advice="Its events are handled one at a time now; the log names the one that fails.",
            )
            count = 0
        if count:
            work.done(count)
            return
        result = self._policy.handle(work.next, attempt=work.attempts + 1)
        if result is Result.RETRY:
            work.failed()
        elif result is Result.HALTED:
            work.halt()
        else:
            work.done()

    def _resume_and_commit(self) -> None:
        """Runs before every poll: a rebalance happens during poll, and handled offsets must be committed by then."""
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
            logger.warning(
                "offsets_not_committed",
                group=self.group,
                error=repr(error),
                advice="Kafka delivers some events again; the inbox skips them.",
            )

    def _maintain(self) -> None:
        now = self._clock()
        if now - self._maintained_at < MAINTENANCE_SECONDS:
            return
        self._maintained_at = now
        answered = self._probe.result(within_seconds=PROBE_TIMEOUT_SECONDS) if self._probe else None
        if answered is not None:
            self._broker = (answered, "" if answered else "Kafka does not answer.")
        self._measure_lag(now)
        is_up, detail = self._health(now)
        heartbeats.beat(f"{consumer_process()}.{self.group}", "up" if is_up else "down", detail)
        self._reconnect_if_stalled(now)

    def _measure_lag(self, now: float) -> None:
        if now - self._lag_at >= SECONDS_BETWEEN_LAGS:
            self._lag_at = now
            try:
                self._lag.request_end_offsets(self._consumer)
            except KafkaError as error:
                logger.warning("consumer_lag_unknown", group=self.group, error=repr(error))
        if not self._broker[0]:
            self._lag.restart()
        assigned = self._consumer.assignment() or ()
        self._lag.observe({partition: self._position(partition) for partition in assigned}, now=now)

    def _health(self, now: float) -> tuple[bool, str]:
        """Whether the group is up, and the detail for an operator: the most specific cause first."""
        is_up, detail = self._broker
        if self._policy.breaker.is_open:
            return False, "Halted: too many events in a row cannot be handled. See the log."
        if not is_up:
            return False, detail
        if self._membership.seconds_outside(now) >= JOIN_SECONDS:
            return False, "The group has not admitted this consumer; see Kafka's log of its group coordinator."
        if self._lag.stalled:
            return False, " ".join(self._lag.stalled.values())
        return True, f"lag {self._lag.total}"

    def _reconnect_if_stalled(self, now: float) -> None:
        """Reconnects if a partition has lag but no pending records, and its position does not move."""
        starved = [each for each in self._lag.stalled if not self._pending(each)]
        is_outside = self._membership.seconds_outside(now) >= JOIN_SECONDS
        is_answered, _ = self._broker
        if not (is_answered and (starved or is_outside)) or now - self._reconnected_at < SECONDS_BETWEEN_RECONNECTS:
            return
        self._reconnected_at = now
        metrics.reconnects.labels(group=self.group).inc()
        logger.critical(
            "consumer_stalled",
            group=self.group,
            partitions=[f"{each.topic}/{each.partition}" for each in starved],
            advice="The consumer reconnects by itself. If this line repeats, look at the broker.",
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
