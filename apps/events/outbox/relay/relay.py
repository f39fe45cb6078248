"""The relay's loop: fetch, send, wait for the acknowledgement, delete. A batch is under way in two halves, so that
PostgreSQL and Kafka work at once; no transaction is open while Kafka is waited for."""

import time
from collections import deque

import structlog
from django.conf import settings
from django.db import DatabaseError
from kafka.errors import KafkaError

from apps.events.brokers.kafka.options import BrokerUnavailable
from apps.events.brokers.kafka.producer import EventProducer
from apps.events.outbox import metrics as outbox_metrics
from apps.events.outbox.admission import Admission
from apps.events.outbox.low_watermark import LowWatermark
from apps.events.outbox.prefetch import Prefetcher
from apps.events.outbox.progress import OutboxProgress
from apps.events.outbox.relay import metrics, query
from apps.events.outbox.relay.batch import Batch
from apps.events.outbox.relay.broker_watch import BrokerWatch
from apps.events.outbox.relay.poison import find_poison, is_poison, poison_of, reason_of
from apps.events.outbox.relay.query import FetchSpec, Record
from apps.events.outbox.relay.shards import Shard
from apps.events.outbox.rows import delete_rows
from apps.events.process import heartbeats
from apps.events.process.leases import LeaseSet
from apps.events.process.run_loop import DATABASE_ERRORS
from apps.events.store.wake_up import Waiter
from apps.messages.base import Transport

logger = structlog.get_logger(__name__)

TRANSPORT = Transport.KAFKA.value

# What is under way when a relay dies is sent twice: never more than one batch, in so many parts.
PARTS_UNDER_WAY = 2
BATCH_BYTES = 1024 * 1024

BUSY_POLL_SECONDS = 0.02
IDLE_POLL_SECONDS = 0.25
IDLE_AFTER_SECONDS = 1.0
# Short, so that leases are kept and an order to stop is heard.
ACKNOWLEDGEMENT_SECONDS = 0.25
STANDBY_SECONDS = 0.5
PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 10.0
BREAKER_PAUSE_SECONDS = 5.0
SECONDS_BETWEEN_CHORES = 1.0
# Nothing is sent that could not be acknowledged before the lease ends.
LEAST_LEASE_SECONDS = 0.5
FAREWELL_SECONDS = 5.0


class Relay:
    """One relay, for the slots of its shard that its leases give it. Make it and run it in one process."""

    def __init__(
        self, shard: Shard | None = None, *, batch_rows: int | None = None, lease_seconds: float | None = None
    ) -> None:
        environment = settings.ENVIRONMENT
        self._shard = shard or Shard()
        self._part_rows = max(1, (batch_rows or environment.relay_batch_rows) // PARTS_UNDER_WAY)
        seconds = lease_seconds or environment.lease_seconds
        self._leases = LeaseSet("relay.kafka", self._shard.slots, seconds=seconds)
        self._producer: EventProducer | None = None
        self._window: deque[Batch] = deque()
        self._prefetcher = Prefetcher(query.fetch, name="relay-fetch")
        self._floor = LowWatermark(TRANSPORT)
        self._highest = 0
        self._acknowledged: list[int] = []
        self._held: dict[int, int] = {}
        self._gate = Admission(TRANSPORT)
        self._failures = 0
        self._broker = BrokerWatch()
        self._waiter = Waiter(TRANSPORT)
        self._look = outbox_metrics.OutboxLook(TRANSPORT)
        self._progress = OutboxProgress(
            self._shard.process_name,
            TRANSPORT,
            gate=self._gate,
            floor=self._floor,
            look=self._look,
            slots=lambda: self._held,
            cause=lambda: self._broker.advice,
        )
        self._busy_at = 0.0
        self._chores_at = float("-inf")
        # Rows to send one by one, to tell which of a refused batch is the one.
        self._careful = 0

    def step(self) -> float:
        """A little work. Returns the seconds until the next. Raises OperationalError where PostgreSQL is gone."""
        try:
            return self._step()
        except DATABASE_ERRORS:
            # The leases cannot be kept: what is not acknowledged now is sent again, by whoever holds them next.
            self._give_up_window("database")
            raise

    def close(self) -> None:
        """Waits a little for what is under way, hands the leases over and ends the producer."""
        deadline = time.monotonic() + FAREWELL_SECONDS
        for batch in self._window:
            batch.wait(deadline - time.monotonic())
        self._give_up_window(None)
        self._waiter.close()
        self._prefetcher.close()
        try:
            self._delete_acknowledged()
            self._leases.release()
        except DatabaseError as error:
            logger.warning("The leases could not be handed over; a standby waits for their end.", error=str(error))

    def _step(self) -> float:
        self._delete_acknowledged()
        if not self._keep_leases():
            return STANDBY_SECONDS
        self._chores()
        pause_seconds = 0.0
        has_sent = False
        try:
            has_sent = self._has_room and self._send_next()
        except BrokerUnavailable as error:
            self._broker.failed(str(error))
            pause_seconds = PAUSE_SECONDS
        except KafkaError as error:
            return self._recover(error)
        if self._gate.is_shut:
            pause_seconds = BREAKER_PAUSE_SECONDS
        if pause_seconds and not self._window:
            return pause_seconds
        return self._settle(has_more=has_sent)

    def _keep_leases(self) -> bool:
        held = self._leases.keep()
        before, self._held = self._held, {slot: self._leases.epoch(slot) for slot in held}
        if before.items() - self._held.items():
            # Lost, or lost and got back: somebody else may have sent meanwhile what is still under way here.
            self._give_up_window("lease_lost")
        if self._held.items() - before.items():
            self._floor.reset()
            self._progress.restart()
            self._chores_at = float("-inf")
        return bool(self._held)

    @property
    def _has_room(self) -> bool:
        most = 1 if self._careful else PARTS_UNDER_WAY
        return len(self._window) < most and self._leases.safe_seconds_left > LEAST_LEASE_SECONDS

    def _chores(self) -> None:
        if time.monotonic() - self._chores_at < SECONDS_BETWEEN_CHORES:
            return
        self._chores_at = time.monotonic()
        if self._gate.look():
            self._floor.reset()
        self._floor.raise_if_safe(highest=self._highest)
        self._look.look(floor=self._floor.value)
        for slot, epoch in self._held.items():
            metrics.lease_epoch.labels(slot).set(epoch)
        self._broker.ask(self._producer_made())
        self._broker.beat()
        heartbeats.beat(self._shard.process_name, *self._progress.standing())
        self._replace_stuck_producer()

    def _producer_made(self) -> EventProducer:
        if self._producer is None:
            self._producer = EventProducer(f"muckard-{self._shard.process_name}")
        return self._producer

    def _send_next(self) -> bool:
        """Hands a part of a batch to the producer. Whether there was one."""
        wanted = self._wanted([])
        fetched = self._prefetcher.take(wanted.is_like)
        if fetched is None:
            fetched = query.fetch(wanted)
        records = query.limit_bytes(fetched, BATCH_BYTES // PARTS_UNDER_WAY)
        if not records:
            return False
        self._busy_at = time.monotonic()
        self._highest = max(self._highest, records[-1].row_id)
        if len(fetched) == wanted.limit:
            self._prefetcher.start(self._wanted(records))
        is_sent = False
        try:
            is_sent = self._hand_over(records)
        finally:
            if not is_sent:
                self._prefetcher.forget()
        return is_sent

    def _wanted(self, taken: list[Record]) -> FetchSpec:
        """What to fetch next, where `taken` is about to be under way."""
        under_way = [record.row_id for batch in self._window for record in batch.records]
        under_way += [record.row_id for record in taken]
        limit = 1 if self._careful else self._part_rows
        return FetchSpec(frozenset(self._held), limit, under_way, frozenset(self._gate.parked), self._floor.value)

    def _hand_over(self, records: list[Record]) -> bool:
        """Gives the records to the producer; those of a key from its poison on are left out, and the key is parked.
        False where the relay has to stop."""
        producer = self._producer_made()
        poison = find_poison(records, producer)
        if poison and not self._gate.park(poison, of=len(records)):
            return False
        # What is older than its key's poison may still go.
        stopped_at = {str(each.key).encode(): each.row_id for each in reversed(poison)}
        batch = Batch()
        self._window.append(batch)
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
                if not self._gate.park([poison_of(record, reason_of(error), str(error))], of=1):
                    return False
            else:
                batch.add(record, future)
        return True

    def _settle(self, *, has_more: bool) -> float:
        """Waits for the oldest batch and takes its rows out of the outbox. Returns the seconds until the next step."""
        if not self._window:
            self._wait_for_work()
            return 0.0
        if has_more and len(self._window) < PARTS_UNDER_WAY and not self._careful:
            return 0.0
        oldest = self._window[0]
        is_done = oldest.wait(ACKNOWLEDGEMENT_SECONDS if has_more else BUSY_POLL_SECONDS)
        if self._producer is not None and self._producer.failure is not None:
            return self._recover(self._producer.failure)
        if is_done:
            self._window.popleft()
            self._finish(oldest)
        return 0.0

    def _finish(self, batch: Batch) -> None:
        self._acknowledged += batch.acknowledged()
        if batch.records:
            self._broker.acknowledged()
            self._gate.passed(len(batch.records))
            self._failures = 0
            self._careful = max(0, self._careful - len(batch.records))
            outbox_metrics.published.labels(TRANSPORT, "confirmed").inc(len(batch.records))
            metrics.batch_seconds.observe(batch.age_seconds)
        self._delete_acknowledged()

    def _delete_acknowledged(self) -> None:
        delete_rows(self._acknowledged)
        self._acknowledged = []

    def _recover(self, error: BaseException) -> float:
        """After a record failed: nothing behind it has left. Finds out whether it is poison; the rest is sent again."""
        if self._producer is not None and self._producer.failure is not None:
            error = self._producer.failure
        refused = [each for batch in self._window for each in self._after_the_end(batch).refused()]
        under_way = sum(len(batch.records) for batch in self._window)
        self._give_up_window(reason_of(error))
        self._delete_acknowledged()
        outbox_metrics.published.labels(TRANSPORT, "failed").inc(max(len(refused), 1))
        if not is_poison(error):
            self._broker.failed(f"{type(error).__name__}: {error}")
            self._failures += 1
            return min(PAUSE_SECONDS * 2.0 ** (self._failures - 1), LONGEST_PAUSE_SECONDS)
        culprits = {record.row_id: record for record, cause in refused if is_poison(cause)}
        if len(culprits) == 1:
            (culprit,) = culprits.values()
            self._gate.park([poison_of(culprit, reason_of(error), str(error))], of=1)
            return BREAKER_PAUSE_SECONDS if self._gate.is_shut else 0.0
        logger.warning("Kafka refused a batch without saying which record it is; sending one by one.", error=str(error))
        self._careful = under_way
        return 0.0

    def _after_the_end(self, batch: Batch) -> Batch:
        if self._producer is not None:
            self._producer.end()
        batch.wait(1.0)
        return batch

    def _give_up_window(self, reason: str | None) -> None:
        """Ends the producer, so that nothing leaves any more. What it has acknowledged is remembered for deletion."""
        self._prefetcher.forget()
        if self._producer is not None:
            self._producer.end()
            self._producer = None
            if reason is not None and self._window:
                metrics.rebuilds.labels(reason=reason).inc()
                logger.warning("The Kafka producer is made anew.", reason=reason, parts_under_way=len(self._window))
        for batch in self._window:
            batch.wait(1.0)
            self._acknowledged += batch.acknowledged()
        self._window.clear()

    def _replace_stuck_producer(self) -> None:
        if self._producer is None:
            return
        oldest_seconds = self._window[0].age_seconds if self._window else 0.0
        reason = self._broker.why_stuck(self._producer, oldest_seconds=oldest_seconds)
        if reason is not None:
            self._give_up_window(reason)

    def _wait_for_work(self) -> None:
        is_busy = time.monotonic() - self._busy_at < IDLE_AFTER_SECONDS
        self._waiter.wait(BUSY_POLL_SECONDS if is_busy else IDLE_POLL_SECONDS)
