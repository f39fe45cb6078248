"""The relay: sends the outbox to Kafka. Two halves of a batch are in flight, so that PostgreSQL and Kafka overlap."""

import time
from collections.abc import Callable

import structlog
from django.conf import settings
from kafka.errors import KafkaError

from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.outbox import metrics as outbox_metrics
from apps.events.outbox.relay import metrics, query
from apps.events.outbox.relay.broker_watch import BrokerWatch
from apps.events.outbox.relay.poison import find_poison, is_poison, poison_of, reason_of
from apps.events.outbox.relay.query import Record
from apps.events.outbox.relay.shards import Shard
from apps.events.outbox.relay.window import Window
from apps.events.outbox.sender import OutboxSender
from apps.events.process import heartbeats
from apps.events.process.backoff import Backoff
from apps.events.process.leases import LeaseSet
from apps.events.process.run_loop import DATABASE_ERRORS
from apps.messages.base import Transport

logger = structlog.get_logger(__name__)

TRANSPORT = Transport.KAFKA

# A relay that dies sends again what was in flight: at most one batch, in this many parts.
PARTS_IN_FLIGHT = 2
BATCH_BYTES = 1024 * 1024

BUSY_POLL_SECONDS = 0.02
IDLE_POLL_SECONDS = 0.25
IDLE_AFTER_SECONDS = 1.0
# Short, so that the leases are renewed and a request to stop is noticed.
ACKNOWLEDGEMENT_SECONDS = 0.25
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 10.0
BREAKER_PAUSE_SECONDS = 5.0
# Nothing is sent that could not be acknowledged before the lease ends.
MIN_LEASE_SECONDS = 0.5
CLOSE_SECONDS = 5.0


class Relay(OutboxSender[Record]):
    """The sender for Kafka, for the slots of its shard."""

    standby_seconds = 0.5

    def __init__(
        self,
        shard: Shard | None = None,
        *,
        batch_rows: int | None = None,
        lease_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        environment = settings.ENVIRONMENT
        shard = shard or Shard()
        self._name = shard.process_name
        self._part_rows = max(1, (batch_rows or environment.relay_batch_rows) // PARTS_IN_FLIGHT)
        self._window = Window(self._name, clock=clock)
        self._broker = BrokerWatch(clock=clock)
        self._backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, max_seconds=MAX_PAUSE_SECONDS)
        self._busy_at = 0.0
        # Rows still to be sent one by one, to find the record for which Kafka refused a batch.
        self._one_by_one = 0
        super().__init__(
            name=self._name,
            transport=TRANSPORT,
            leases=LeaseSet(
                "relay.kafka", shard.slots, seconds=lease_seconds or environment.lease_seconds, clock=clock
            ),
            limit=self._part_rows,
            fetch=query.next_records,
            clock=clock,
        )

    def step(self) -> float:
        """As `OutboxSender.step`."""
        try:
            self._window.delete_acknowledged()
            return super().step()
        except DATABASE_ERRORS:
            # The leases cannot be renewed: the next owner sends again what is not acknowledged by now.
            self._abandon("database")
            raise

    def _send(self) -> float:
        pause_seconds = 0.0
        has_sent = False
        try:
            has_sent = self._has_room and self._send_part()
        except BrokerUnavailable as error:
            self._broker.failed(str(error))
            pause_seconds = FIRST_PAUSE_SECONDS
        except KafkaError as error:
            return self._recover(error)
        if self._admission.is_stopped:
            pause_seconds = BREAKER_PAUSE_SECONDS
        if pause_seconds and not self._window:
            return pause_seconds
        return self._settle(has_more=has_sent)

    @property
    def _has_room(self) -> bool:
        parts = 1 if self._one_by_one else PARTS_IN_FLIGHT
        return len(self._window) < parts and self._leases.safe_seconds_left > MIN_LEASE_SECONDS

    def _send_part(self) -> bool:
        """Hands the next part of a batch to the producer. Returns whether there was one."""
        self._limit = 1 if self._one_by_one else self._part_rows
        fetched = self._next_rows()
        records = query.limit_bytes(fetched, BATCH_BYTES // PARTS_IN_FLIGHT)
        if not records:
            return False
        self._busy_at = self._clock()
        if self._is_full(fetched):
            self._prefetch_after(records)
        is_sent = False
        try:
            is_sent = self._hand_over(records)
        finally:
            if not is_sent:
                self._prefetcher.forget()
        return is_sent

    def _hand_over(self, records: list[Record]) -> bool:
        """Gives the records to the producer and parks the keys of those that cannot be sent.

        Of a parked key, only the records before its first poison are sent. Returns False if the circuit breaker opens.
        """
        producer = self._window.producer
        poison = find_poison(records, producer)
        if poison and not self._admission.park(poison, of=len(records)):
            return False
        stopped_at = {str(each.key).encode(): each.row_id for each in reversed(poison)}
        batch = self._window.open_batch()
        for record in records:
            if record.value is None or record.row_id >= stopped_at.get(record.key, record.row_id + 1):
                continue
            try:
                future = producer.send(
                    record.topic,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                    timestamp_ms=record.timestamp_ms,
                )
            except Exception as error:
                if not is_poison(error):
                    raise
                stopped_at[record.key] = record.row_id
                if not self._admission.park([poison_of(record, reason_of(error), str(error))], of=1):
                    return False
            else:
                batch.add(record, future)
        return True

    def _settle(self, *, has_more: bool) -> float:
        """Waits for the oldest batch and deletes its rows. Returns the seconds until the next step."""
        if not self._window:
            is_busy = self._clock() - self._busy_at < IDLE_AFTER_SECONDS
            self._wake_ups.wait(BUSY_POLL_SECONDS if is_busy else IDLE_POLL_SECONDS)
            return 0.0
        if has_more and len(self._window) < PARTS_IN_FLIGHT and not self._one_by_one:
            return 0.0
        is_done = self._window.wait_oldest(ACKNOWLEDGEMENT_SECONDS if has_more else BUSY_POLL_SECONDS)
        if self._window.failure is not None:
            return self._recover(self._window.failure)
        if is_done:
            self._finish_oldest()
        return 0.0

    def _finish_oldest(self) -> None:
        seconds = self._window.oldest_seconds
        count = len(self._window.pop_oldest().records)
        if count:
            self._broker.acknowledged()
            self._admission.sent(count)
            self._backoff.succeeded()
            self._one_by_one = max(0, self._one_by_one - count)
            outbox_metrics.published.labels(TRANSPORT.value, "confirmed").inc(count)
            metrics.batch_seconds.observe(seconds)
        self._window.delete_acknowledged()

    def _recover(self, error: BaseException) -> float:
        """After a record failed, the producer sends nothing more. Parks the record if it is poison; sends the rest
        again. Returns the seconds until the next step."""
        error = self._window.failure or error
        refused = self._window.end()
        in_flight = len(self._window.row_ids)
        self._abandon(reason_of(error))
        self._window.delete_acknowledged()
        outbox_metrics.published.labels(TRANSPORT.value, "failed").inc(max(len(refused), 1))
        if not is_poison(error):
            self._broker.failed(f"{type(error).__name__}: {error}")
            return self._backoff.failed()
        culprits = {record.row_id: record for record, cause in refused if is_poison(cause)}
        if len(culprits) == 1:
            (culprit,) = culprits.values()
            self._admission.park([poison_of(culprit, reason_of(error), str(error))], of=1)
            return BREAKER_PAUSE_SECONDS if self._admission.is_stopped else 0.0
        logger.warning("batch_refused", error=str(error), rows=in_flight, next_try="one by one, to find the record")
        self._one_by_one = in_flight
        return 0.0

    def _abandon(self, reason: str | None) -> None:
        self._prefetcher.forget()
        self._window.abandon(reason)

    def _abandon_in_flight(self) -> None:
        self._abandon("lease_lost")
        self._window.delete_acknowledged()

    def _finish_in_flight(self) -> None:
        self._window.wait_all(CLOSE_SECONDS)
        self._abandon(None)
        self._window.delete_acknowledged()

    def _in_flight_ids(self) -> list[int]:
        return self._window.row_ids

    def _known_cause(self) -> str:
        return self._broker.advice

    def _broker_chores(self) -> None:
        for slot, fence in self._held.items():
            metrics.lease_fence.labels(slot).set(fence)
        self._broker.ask(self._window.producer)
        self._broker.beat()
        heartbeats.beat(self._name, *self._progress.health())
        reason = self._broker.why_stuck(self._window.producer, oldest_seconds=self._window.oldest_seconds)
        if reason is not None:
            self._abandon(reason)
