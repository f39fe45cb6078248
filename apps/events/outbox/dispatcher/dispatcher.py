"""The dispatcher: sends the outbox to RabbitMQ in rounds of one message a key.

While more waits, the work overlaps: a batch is sent while the last confirms of the one before it come in, and the batch
after it is read and encoded in another thread.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from uuid import UUID

import structlog
from django.conf import settings

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher
from apps.events.outbox.dispatcher.batch import Item, fetch, rounds, without_poison
from apps.events.outbox.dispatcher.in_flight import InFlight
from apps.events.outbox.dispatcher.queue_backoff import QueueBackoff
from apps.events.outbox.sender import OutboxSender
from apps.events.process import heartbeats
from apps.events.process.backoff import Backoff
from apps.events.process.leases import LeaseSet
from apps.messages.base import SLOTS, Transport

logger = structlog.get_logger(__name__)

NAME = "dispatcher"
BROKER = "rabbitmq"
ADVICE = "RabbitMQ answers: see the dispatcher's log, and restart the dispatcher if it stays so."
IDLE_SECONDS = 0.25


class Dispatcher(OutboxSender[Item]):
    """The sender for RabbitMQ. One process holds all slots; a second is a hot standby."""

    def __init__(
        self,
        *,
        leases: LeaseSet | None = None,
        publisher: ConfirmedPublisher | None = None,
        batch_rows: int | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        environment = settings.ENVIRONMENT
        self._publisher = publisher or ConfirmedPublisher(NAME)
        self._backoff = backoff or Backoff()
        self._queue_backoff = QueueBackoff(clock=clock)
        super().__init__(
            name=NAME,
            transport=Transport.RABBITMQ,
            leases=leases or LeaseSet("dispatch", range(SLOTS), seconds=environment.lease_seconds, clock=clock),
            limit=batch_rows or environment.relay_batch_rows,
            fetch=fetch,
            clock=clock,
        )
        self._in_flight = InFlight(self._publisher, self._admission, self._queue_backoff)

    def _send(self) -> float:
        try:
            batch = self._next_rows()
            if batch:
                self._send_batch(batch)
            else:
                self._publisher.keep_alive()
        except BrokerUnavailable as error:
            return self._pause(str(error))
        if batch and self._admission.is_stopped:
            return self._pause(self._admission.detail)
        self._report_up()
        if not batch:
            self._wake_ups.wait(IDLE_SECONDS)
        return 0.0

    def _send_batch(self, batch: Sequence[Item]) -> None:
        if self._is_full(batch):
            self._prefetch_after(batch)
        is_whole = False
        try:
            poison = [item.poison for item in batch if item.poison is not None]
            if not poison or self._admission.park(poison, of=len(batch)):
                is_whole = self._send_rounds(batch)
            if not (is_whole and self._is_full(batch)):
                self._settle()
        finally:
            if not is_whole:
                self._prefetcher.forget()

    def _send_rounds(self, batch: Sequence[Item]) -> bool:
        """Returns whether the whole batch was sent. Raises BrokerUnavailable, DatabaseError."""
        held_back: set[UUID] = set()
        sendable = list(without_poison(batch))
        for each_round in rounds(sendable):
            # A row that is not confirmed holds the later rows of its key back.
            held_back |= self._settle(item.row.key for item in each_round)
            ready = [item for item in each_round if item.row.key not in held_back]
            held_back |= self._in_flight.send(ready, seconds=self._leases.safe_seconds_left)
        return not held_back and len(sendable) == len(batch)

    def _settle(self, keys: Iterable[UUID] | None = None) -> set[UUID]:
        """Waits for the confirms of these keys, or of everything in flight. Returns the keys whose row was not sent.

        Raises BrokerUnavailable, DatabaseError.
        """
        return self._in_flight.settle(keys, seconds=self._leases.safe_seconds_left)

    def _before_fetch(self) -> None:
        self._settle()

    def _in_flight_ids(self) -> tuple[int, ...]:
        return self._in_flight.row_ids

    def _abandon_in_flight(self) -> None:
        self._in_flight.abandon()

    def _finish_in_flight(self) -> None:
        try:
            with suppress(BrokerUnavailable):
                self._settle()
        finally:
            self._publisher.close()

    def _paused_queues(self) -> tuple[str, ...]:
        return self._queue_backoff.paused()

    def _known_cause(self) -> str:
        return self._queue_backoff.detail() or ADVICE

    def _report_up(self) -> None:
        if failures := self._backoff.succeeded():
            logger.info("rabbitmq_answers_again", after_failed_tries=failures)
        heartbeats.beat(BROKER, "up")
        heartbeats.beat(NAME, *self._progress.health(remark=self._queue_backoff.detail()))

    def _pause(self, reason: str) -> float:
        seconds = self._backoff.failed()
        logger.warning("dispatch_paused", reason=reason, next_try_in_seconds=seconds)
        heartbeats.beat(BROKER, "down", reason)
        heartbeats.beat(NAME, "down", reason)
        return seconds
