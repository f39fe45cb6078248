"""The dispatcher's one step: take leases, read rows, publish in waves, delete what was confirmed."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence

import structlog
from django.conf import settings
from django.db import DatabaseError

from apps.events import heartbeats
from apps.events.catalogue.message import SLOTS
from apps.events.dispatcher import rows
from apps.events.dispatcher.rows import Row
from apps.events.leases import LeaseSet
from apps.events.rabbitmq import BrokerUnavailable, ConfirmedPublisher, Outgoing, Verdict, outgoing_of
from apps.events.wakeup import Waiter

logger = structlog.get_logger(__name__)

HEARTBEAT = "rabbitmq"
IDLE_SECONDS = 0.25
STANDBY_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0

# Where more than half of a batch of at least this many cannot be sent, the fault is ours and not the messages':
# nothing is parked and nothing is sent until somebody has looked.
BREAKER_ROWS = 10


class Breaker(Exception):
    """Most of the outbox cannot be sent."""


class Dispatcher:
    """Holds the leases, the connection, and what is paused for how long. `step` is one round."""

    def __init__(self, *, leases: LeaseSet | None = None, publisher: ConfirmedPublisher | None = None) -> None:
        self._leases = leases or LeaseSet("dispatch", range(SLOTS), seconds=settings.ENVIRONMENT.lease_seconds)
        self._publisher = publisher or ConfirmedPublisher("dispatcher")
        self._waiter = Waiter(rows.TRANSPORT)
        self._failures = 0
        self._paused = Pauses()

    def step(self) -> float:
        """Sends what there is. Returns the seconds to wait before the next step. Raises DatabaseError."""
        slots = self._leases.keep()
        if not slots:
            return STANDBY_SECONDS
        batch = rows.next_rows(slots=slots, limit=settings.ENVIRONMENT.relay_batch_rows, paused=self._paused.names())
        try:
            if not batch:
                self._publisher.keep_alive()
                self._is_well()
                self._waiter.wait(IDLE_SECONDS)
                return 0.0
            self._dispatch(batch)
        except BrokerUnavailable as error:
            return self._pause(str(error))
        except Breaker as error:
            return self._pause(f"Stopped: {error}")
        self._is_well()
        return 0.0

    def close(self) -> None:
        """Lets a standby take over at once."""
        self._publisher.close()
        self._waiter.close()
        with contextlib.suppress(DatabaseError):
            self._leases.release()

    def _dispatch(self, batch: Sequence[Row]) -> None:
        messages = self._messages(batch)
        held_back: set[object] = set()
        for wave in waves(row for row in batch if row.id in messages):
            if self._leases.safe_seconds_left <= 0:
                return
            ready = [row for row in wave if row.key not in held_back]
            held_back |= {row.key for row in self._send(ready, messages)}

    def _messages(self, batch: Sequence[Row]) -> dict[int, Outgoing]:
        """Each row's message. Keys whose message cannot be made are parked, and their later rows left out."""
        messages: dict[int, Outgoing] = {}
        faults: list[tuple[Row, str]] = []
        parked: set[object] = set()
        for row in batch:
            if row.key in parked:
                continue
            try:
                messages[row.id] = outgoing_of(row.envelope)
            except Exception as error:
                faults.append((row, f"{type(error).__name__}: {error}"))
                parked.add(row.key)
        if len(batch) >= BREAKER_ROWS and len(faults) > len(batch) / 2:
            raise Breaker(f"{len(faults)} of {len(batch)} messages cannot be made; the first: {faults[0][1]}")
        for row, reason in faults:
            rows.park(row, reason)
            logger.error("key_parked", key=str(row.key), event_type=row.envelope.event_type, reason=reason)
        return messages

    def _send(self, wave: Sequence[Row], messages: dict[int, Outgoing]) -> list[Row]:
        """Publishes one wave and deletes what was confirmed. Returns what was not. Raises BrokerUnavailable."""
        outcome = self._publisher.publish([messages[row.id] for row in wave], seconds=self._leases.safe_seconds_left)
        by_verdict: dict[Verdict, list[Row]] = {verdict: [] for verdict in Verdict}
        for row, verdict in zip(wave, outcome.verdicts, strict=True):
            by_verdict[verdict].append(row)
        if by_verdict[Verdict.CONFIRMED]:
            rows.delete([row.id for row in by_verdict[Verdict.CONFIRMED]])
        for verdict, reason in (
            (Verdict.REFUSED, "The queue is full."),
            (Verdict.UNROUTABLE, "No queue takes it: run `manage.py declare_topology`."),
        ):
            if refused := by_verdict[verdict]:
                rows.note_failure([row.id for row in refused], reason)
                self._paused.add({row.destination for row in refused}, reason)
        self._paused.clear({row.destination for row in by_verdict[Verdict.CONFIRMED]})
        if outcome.error is not None:
            raise outcome.error
        return [row for verdict, held in by_verdict.items() if verdict is not Verdict.CONFIRMED for row in held]

    def _is_well(self) -> None:
        if self._failures:
            logger.info("rabbitmq_answers_again", after_failed_tries=self._failures)
        self._failures = 0
        heartbeats.beat(HEARTBEAT, "up", self._paused.detail())

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

    def names(self) -> list[str]:
        now = time.monotonic()
        return [queue for queue, (until, _, _) in self._until.items() if until > now]

    def detail(self) -> str:
        return " ".join(f"{queue}: {reason}" for queue, (_, _, reason) in sorted(self._until.items()))


def waves(batch: Iterable[Row]) -> Iterator[list[Row]]:
    """The batch in rounds of one row a key: what is not confirmed holds its key's later rows back."""
    rest = list(batch)
    while rest:
        seen: set[object] = set()
        wave: list[Row] = []
        later: list[Row] = []
        for row in rest:
            (later if row.key in seen else wave).append(row)
            seen.add(row.key)
        yield wave
        rest = later
