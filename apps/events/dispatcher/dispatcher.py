"""The dispatcher's one step: take leases, publish in waves, delete what was confirmed. What comes next is read and made
into messages meanwhile."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError

from apps.events import heartbeats
from apps.events.catalogue.message import SLOTS
from apps.events.dispatcher import rows
from apps.events.dispatcher.batch import Item, fetch, waves, without_poison
from apps.events.dispatcher.rows import TRANSPORT, Row, Wanted
from apps.events.leases import LeaseSet
from apps.events.outbox import Floor, Gate, Prefetcher, delete_rows, metrics
from apps.events.rabbitmq import BrokerUnavailable, ConfirmedPublisher, Verdict
from apps.events.wakeup import Waiter

logger = structlog.get_logger(__name__)

HEARTBEAT = "rabbitmq"
IDLE_SECONDS = 0.25
STANDBY_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0

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
        self._gate = Gate(TRANSPORT)
        self._floor = Floor(TRANSPORT)
        self._look = metrics.OutboxLook(TRANSPORT)
        self._highest = 0
        self._slots: frozenset[int] = frozenset()
        self._chores_at = float("-inf")
        self._failures = 0
        self._paused = Pauses()

    def step(self) -> float:
        """Sends what there is. Returns the seconds to wait before the next step. Raises DatabaseError."""
        before, self._slots = self._slots, self._leases.keep()
        if not self._slots:
            return STANDBY_SECONDS
        self._chores(has_new_slots=bool(self._slots - before))
        batch = self._next_batch()
        try:
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
        """Lets a standby take over at once."""
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
        self._floor.raise_if_safe(highest=self._highest)
        self._look.look(floor=self._floor.value)

    def _next_batch(self) -> list[Item]:
        """The next items. Where more than a batch waits, the next one is fetched while this one is sent."""
        wanted = Wanted(
            leases=frozenset((slot, self._leases.epoch(slot)) for slot in self._slots),
            limit=self._batch_rows,
            parked=frozenset(self._gate.parked),
            paused=self._paused.names(),
            floor=self._floor.value,
        )
        batch = self._prefetcher.take(wanted.is_like)
        if batch is None:
            batch = fetch(wanted)
        self._highest = max([self._highest, *(item.row.id for item in batch)])
        if len(batch) == wanted.limit:
            self._prefetcher.start(wanted._replace(under_way=tuple(item.row.id for item in batch)))
        return batch

    def _dispatch(self, batch: Sequence[Item]) -> None:
        is_whole = False
        try:
            poison = [item.poison for item in batch if item.poison is not None]
            if not poison or self._gate.park(poison, of=len(batch)):
                is_whole = self._send_in_waves(batch)
        finally:
            if not is_whole:
                # What was fetched ahead comes after something that has not left.
                self._prefetcher.forget()

    def _send_in_waves(self, batch: Sequence[Item]) -> bool:
        """Whether the whole batch was sent. Raises BrokerUnavailable."""
        held_back: set[UUID] = set()
        sendable = list(without_poison(batch))
        for wave in waves(sendable):
            if self._leases.safe_seconds_left <= 0:
                return False
            ready = [item for item in wave if item.row.key not in held_back]
            held_back |= {row.key for row in self._send(ready)}
        return not held_back and len(sendable) == len(batch)

    def _send(self, wave: Sequence[Item]) -> list[Row]:
        """Publishes one wave and deletes what was confirmed. Returns what was not. Raises BrokerUnavailable."""
        messages = [item.message for item in wave if item.message is not None]
        outcome = self._publisher.publish(messages, seconds=self._leases.safe_seconds_left)
        by_verdict: dict[Verdict, list[Row]] = {verdict: [] for verdict in Verdict}
        for item, verdict in zip(wave, outcome.verdicts, strict=True):
            by_verdict[verdict].append(item.row)
        confirmed = by_verdict[Verdict.CONFIRMED]
        delete_rows([row.id for row in confirmed])
        if confirmed:
            self._gate.passed(len(confirmed))
        metrics.published.labels(TRANSPORT, "confirmed").inc(len(confirmed))
        metrics.published.labels(TRANSPORT, "failed").inc(len(wave) - len(confirmed))
        for verdict, reason in (
            (Verdict.REFUSED, "The queue is full."),
            (Verdict.UNROUTABLE, "No queue takes it: run `manage.py declare_topology`."),
        ):
            if refused := by_verdict[verdict]:
                rows.note_failure([row.id for row in refused], reason)
                self._paused.add({row.destination for row in refused}, reason)
        self._paused.clear({row.destination for row in confirmed})
        if outcome.error is not None:
            raise outcome.error
        return [row for verdict, held in by_verdict.items() if verdict is not Verdict.CONFIRMED for row in held]

    def _is_well(self) -> None:
        if self._failures:
            logger.info("rabbitmq_answers_again", after_failed_tries=self._failures)
        self._failures = 0
        heartbeats.beat(HEARTBEAT, "up", self._paused.detail() or self._gate.detail)

    def _pause(self, reason: str) -> float:
        seconds = min(FIRST_PAUSE_SECONDS * 2.0**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures = min(self._failures + 1, 10)
        logger.warning("dispatch_paused", reason=reason, next_try_in_seconds=seconds)
        heartbeats.beat(HEARTBEAT, "down", reason)
        return seconds


class Pauses:
    """Queues that take nothing at the moment, each tried again after a while."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, float, str]] = {}

    def add(self, queues: Iterable[str], reason: str) -> None:
        for queue in queues:
            _, before, _ = self._until.get(queue, (0.0, FIRST_PAUSE_SECONDS / 2, ""))
            seconds = min(before * 2, LONGEST_PAUSE_SECONDS)
            self._until[queue] = (time.monotonic() + seconds, seconds, reason)
            logger.warning("queue_paused", queue=queue, reason=reason, next_try_in_seconds=seconds)

    def clear(self, queues: Iterable[str]) -> None:
        """These queues take messages again, unless something else of the same wave was refused."""
        for queue in queues:
            if queue in self._until and self._until[queue][0] <= time.monotonic():
                del self._until[queue]

    def names(self) -> tuple[str, ...]:
        now = time.monotonic()
        return tuple(sorted(queue for queue, (until, _, _) in self._until.items() if until > now))

    def detail(self) -> str:
        return " ".join(f"{queue}: {reason}" for queue, (_, _, reason) in sorted(self._until.items()))
