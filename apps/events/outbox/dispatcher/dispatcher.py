"""The dispatcher's one step: take leases, publish in waves, delete what was confirmed.

While more waits in the outbox, reading it, making messages of it, sending them and their confirms overlap: a batch is
sent while the last answers to the one before it come in, and the next one is made meanwhile.
"""

import contextlib
import time
from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher
from apps.events.outbox import metrics
from apps.events.outbox.admission import Admission
from apps.events.outbox.dispatcher.batch import Item, fetch, rounds, without_poison
from apps.events.outbox.dispatcher.in_flight import InFlight
from apps.events.outbox.dispatcher.query import TRANSPORT, FetchSpec
from apps.events.outbox.dispatcher.queue_backoff import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, QueueBackoff
from apps.events.outbox.low_watermark import LowWatermark
from apps.events.outbox.prefetch import Prefetcher
from apps.events.outbox.progress import OutboxProgress
from apps.events.process import heartbeats
from apps.events.process.leases import LeaseSet
from apps.events.store.wake_up import Waiter
from apps.messages.base import SLOTS

logger = structlog.get_logger(__name__)

NAME = "dispatcher"
HEARTBEAT = "rabbitmq"
ADVICE = "RabbitMQ answers: see the dispatcher's log, and restart the dispatcher if it stays so."
IDLE_SECONDS = 0.25
STANDBY_SECONDS = 1.0
SECONDS_BETWEEN_CHORES = 1.0


class Dispatcher:
    """Holds the leases, the connection, and what is paused for how long. `step` is one round."""

    def __init__(
        self,
        *,
        leases: LeaseSet | None = None,
        publisher: ConfirmedPublisher | None = None,
        batch_rows: int | None = None,
    ) -> None:
        self._batch_rows = batch_rows or settings.ENVIRONMENT.relay_batch_rows
        self._leases = leases or LeaseSet("dispatch", range(SLOTS), seconds=settings.ENVIRONMENT.lease_seconds)
        self._publisher = publisher or ConfirmedPublisher("dispatcher")
        self._waiter = Waiter(TRANSPORT)
        self._prefetcher = Prefetcher(fetch, name="dispatcher-fetch")
        self._gate = Admission(TRANSPORT)
        self._floor = LowWatermark(TRANSPORT)
        self._look = metrics.OutboxLook(TRANSPORT)
        self._highest = 0
        self._slots: frozenset[int] = frozenset()
        self._chores_at = float("-inf")
        self._failures = 0
        self._paused = QueueBackoff()
        self._progress = OutboxProgress(
            NAME,
            TRANSPORT,
            gate=self._gate,
            floor=self._floor,
            look=self._look,
            slots=lambda: self._slots,
            cause=lambda: self._paused.detail() or ADVICE,
        )
        self._under_way = InFlight(self._publisher, self._gate, self._paused)

    def step(self) -> float:
        """Sends what there is. Returns the seconds to wait before the next step. Raises DatabaseError."""
        before, self._slots = self._slots, self._leases.keep()
        if before - self._slots:
            self._under_way.abandon()
        if not self._slots:
            return STANDBY_SECONDS
        self._chores(has_new_slots=bool(self._slots - before))
        try:
            batch = self._next_batch()
            if not batch:
                self._publisher.keep_alive()
                self._is_well()
                self._waiter.wait(IDLE_SECONDS)
                return 0.0
            self._dispatch(batch)
        except BrokerUnavailable as error:
            return self._pause(str(error))
        if self._gate.is_shut:
            return self._pause(self._gate.detail)
        self._is_well()
        return 0.0

    def close(self) -> None:
        """Lets a standby take over at once, and leaves it nothing that has been sent."""
        with contextlib.suppress(BrokerUnavailable, DatabaseError):
            self._settle()
        self._publisher.close()
        self._waiter.close()
        self._prefetcher.close()
        with contextlib.suppress(DatabaseError):
            self._leases.release()

    def _chores(self, *, has_new_slots: bool) -> None:
        if not has_new_slots and time.monotonic() - self._chores_at < SECONDS_BETWEEN_CHORES:
            return
        self._chores_at = time.monotonic()
        if self._gate.look() or has_new_slots:
            self._floor.reset()
        if has_new_slots:
            self._progress.restart()
        self._floor.raise_if_safe(highest=self._highest)
        self._look.look(floor=self._floor.value)

    def _next_batch(self) -> list[Item]:
        """The next items. Where more than a batch waits, the next one is fetched while this one is sent.

        Raises BrokerUnavailable, DatabaseError.
        """
        batch = self._prefetcher.take(self._wanted().is_like)
        if batch is None:
            # What is under way is still in the outbox, and must not be taken for something new.
            self._settle()
            batch = fetch(self._wanted())
        self._highest = max([self._highest, *(item.row.id for item in batch)])
        if self._is_full(batch):
            sent = (*self._under_way.row_ids, *(item.row.id for item in batch))
            self._prefetcher.start(self._wanted()._replace(under_way=sent))
        return batch

    def _wanted(self) -> FetchSpec:
        return FetchSpec(
            leases=frozenset((slot, self._leases.epoch(slot)) for slot in self._slots),
            limit=self._batch_rows,
            parked=frozenset(self._gate.parked),
            paused=self._paused.names(),
            floor=self._floor.value,
        )

    def _is_full(self, batch: Sequence[Item]) -> bool:
        return len(batch) == self._batch_rows

    def _dispatch(self, batch: Sequence[Item]) -> None:
        is_whole = False
        try:
            poison = [item.poison for item in batch if item.poison is not None]
            if not poison or self._gate.park(poison, of=len(batch)):
                is_whole = self._send_in_waves(batch)
            if not (is_whole and self._is_full(batch)):
                self._settle()
        finally:
            if not is_whole:
                # What was fetched ahead comes after something that has not left.
                self._prefetcher.forget()

    def _send_in_waves(self, batch: Sequence[Item]) -> bool:
        """Whether the whole batch was sent. Raises BrokerUnavailable, DatabaseError."""
        held_back: set[UUID] = set()
        sendable = list(without_poison(batch))
        for wave in rounds(sendable):
            # What is not confirmed holds its key's later rows back.
            held_back |= self._settle(item.row.key for item in wave)
            ready = [item for item in wave if item.row.key not in held_back]
            held_back |= self._under_way.send(ready, seconds=self._leases.safe_seconds_left)
        return not held_back and len(sendable) == len(batch)

    def _settle(self, keys: Iterable[UUID] | None = None) -> set[UUID]:
        """Deals with what is under way of these keys, or with everything; the keys whose row has not left.

        Raises BrokerUnavailable, DatabaseError.
        """
        return self._under_way.settle(keys, seconds=self._leases.safe_seconds_left)

    def _is_well(self) -> None:
        if self._failures:
            logger.info("rabbitmq_answers_again", after_failed_tries=self._failures)
        self._failures = 0
        heartbeats.beat(HEARTBEAT, *self._progress.standing(remark=self._paused.detail()))

    def _pause(self, reason: str) -> float:
        seconds = min(FIRST_PAUSE_SECONDS * 2.0**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures = min(self._failures + 1, 10)
        logger.warning("dispatch_paused", reason=reason, next_try_in_seconds=seconds)
        heartbeats.beat(HEARTBEAT, "down", reason)
        return seconds
