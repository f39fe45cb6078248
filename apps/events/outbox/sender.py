"""Outbox sender: what relay and dispatcher share. A subclass sends the rows to its broker.

The invariants, for both brokers:

- Order per key: a row is sent only after every earlier row of its key has been confirmed or is in flight before it.
- Leases fence senders: rows of a slot are sent only while its lease is safe, and what is in flight is abandoned when a
  lease was lost, because its next owner may already send it.
- A row is deleted after its broker has confirmed it. A crash in between sends it again.
- No transaction is open while a broker is waited for.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import Generic, Protocol, TypeVar

import structlog
from django.db import DatabaseError

from apps.events.outbox.admission import Admission
from apps.events.outbox.low_watermark import LowWatermark
from apps.events.outbox.metrics import OutboxStats
from apps.events.outbox.prefetch import Prefetcher
from apps.events.outbox.progress import OutboxProgress
from apps.events.outbox.rows import FetchSpec
from apps.events.process.leases import LeaseSet
from apps.events.store.wake_up import WakeUpListener
from apps.messages.base import Transport

logger = structlog.get_logger(__name__)

SECONDS_BETWEEN_CHORES = 1.0


class Fetched(Protocol):
    """A row of the outbox, as a fetch returns it."""

    @property
    def row_id(self) -> int: ...


R = TypeVar("R", bound=Fetched)


class OutboxSender(ABC, Generic[R]):
    """One sender, for the slots of its leases. Create it and run it in one process; `clock` is monotonic."""

    standby_seconds = 1.0

    def __init__(
        self,
        *,
        name: str,
        transport: Transport,
        leases: LeaseSet,
        limit: int,
        fetch: Callable[[FetchSpec], list[R]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._leases = leases
        self._fetch = fetch
        self._clock = clock
        self._prefetcher = Prefetcher(fetch, name=f"{name}-fetch")
        self._admission = Admission(transport.value)
        self._low_watermark = LowWatermark(transport.value, clock=clock)
        self._stats = OutboxStats(transport.value, clock=clock)
        self._wake_ups = WakeUpListener(transport.value, clock=clock)
        # The held slots with their fencing tokens.
        self._held: dict[int, int] = {}
        self._highest = 0
        self._chores_at = float("-inf")
        self._progress = OutboxProgress(
            name,
            transport.value,
            admission=self._admission,
            low_watermark=self._low_watermark,
            stats=self._stats,
            slots=lambda: self._held,
            cause=self._known_cause,
        )

    def step(self) -> float:
        """Sends some of what waits. Returns the seconds to wait before the next step. Raises DatabaseError."""
        if not self._keep_leases():
            return self.standby_seconds
        self._do_chores()
        return self._send()

    def close(self) -> None:
        """Waits a little for what is in flight and releases the leases, so that a standby takes over at once."""
        try:
            self._finish_in_flight()
            self._leases.release()
        except DatabaseError as error:
            logger.warning("leases_not_released", error=str(error), advice="A standby takes over when they expire.")
        finally:
            self._wake_ups.close()
            self._prefetcher.close()

    @abstractmethod
    def _send(self) -> float:
        """Sends the next rows. Returns the seconds to wait before the next step. Raises DatabaseError."""

    @abstractmethod
    def _in_flight_ids(self) -> Iterable[int]:
        """The ids of the rows that were handed to the broker and are not deleted yet."""

    @abstractmethod
    def _abandon_in_flight(self) -> None:
        """A lease was lost: nothing that is in flight may leave this process any more."""

    @abstractmethod
    def _finish_in_flight(self) -> None:
        """Waits a little for confirms, deletes confirmed rows and closes the connection. Raises DatabaseError."""

    @abstractmethod
    def _known_cause(self) -> str:
        """A sentence for a person who sees that nothing is sent."""

    def _broker_chores(self) -> None:
        """What is due about once a second besides the shared chores. Raises DatabaseError."""

    def _before_fetch(self) -> None:
        """Called before rows are fetched that were not prefetched."""

    def _paused_queues(self) -> Collection[str]:
        """Destinations that take nothing at the moment."""
        return ()

    def _keep_leases(self) -> bool:
        """Renews the leases. Returns whether any slot is held. Raises DatabaseError."""
        held = self._leases.keep()
        before, self._held = self._held, {slot: self._leases.fence(slot) for slot in held}
        # By slot and fencing token: a lease that was lost and taken again had another owner in between.
        if before.items() - self._held.items():
            self._prefetcher.forget()
            self._abandon_in_flight()
        if self._held.items() - before.items():
            self._low_watermark.reset()
            self._progress.restart()
            self._chores_at = float("-inf")
        return bool(self._held)

    def _do_chores(self) -> None:
        if self._clock() - self._chores_at < SECONDS_BETWEEN_CHORES:
            return
        self._chores_at = self._clock()
        if self._admission.refresh():
            self._low_watermark.reset()
        self._low_watermark.advance(highest=self._highest)
        self._stats.update(low_watermark=self._low_watermark.value)
        self._broker_chores()

    def _next_rows(self) -> list[R]:
        """The next rows: prefetched, if they are still valid, or fetched now. Raises DatabaseError."""
        rows = self._prefetcher.take(self._fetch_spec().serves)
        if rows is None:
            self._before_fetch()
            rows = self._fetch(self._fetch_spec())
        self._highest = max([self._highest, *(row.row_id for row in rows)])
        return rows

    def _prefetch_after(self, rows: Iterable[R]) -> None:
        """Starts to fetch what follows `rows`, which are about to be in flight."""
        self._prefetcher.start(self._fetch_spec(rows))

    def _is_full(self, rows: Collection[R]) -> bool:
        """Whether these rows are a whole batch, so that more may wait."""
        return len(rows) == self._limit

    def _fetch_spec(self, next_in_flight: Iterable[R] = ()) -> FetchSpec:
        return FetchSpec(
            leases=frozenset(self._held.items()),
            limit=self._limit,
            parked=frozenset(self._admission.parked),
            paused=tuple(self._paused_queues()),
            in_flight=(*self._in_flight_ids(), *(row.row_id for row in next_in_flight)),
            low_watermark=self._low_watermark.value,
        )
