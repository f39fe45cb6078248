"""What becomes of one event in one group: handled, skipped, tried again, or set aside with all that follows it."""

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

import structlog
from django.utils import timezone

from apps.events.consumers import metrics
from apps.events.consumers.dead_letters import store as dead_letters
from apps.events.consumers.delivery import batch_handler_of, deliver, deliver_batch
from apps.events.consumers.inbound import Arrival
from apps.events.consumers.partition import ATTEMPTS
from apps.events.consumers.registry import BatchHandler, handlers_for
from apps.events.process.circuit_breaker import CircuitBreaker
from apps.events.process.run_loop import DATABASE_ERRORS, is_conflict
from apps.messages.base import InvalidPayload, Transport, UnknownMessage
from apps.messages.envelope import Envelope

logger = structlog.get_logger(__name__)


class Result(StrEnum):
    HANDLED = "handled"
    # Handled before, or nothing to this group.
    SKIPPED = "skipped"
    SET_ASIDE = "set_aside"
    AGAIN = "again"
    # Not now: too much fails for it to be this event's fault.
    HELD = "held"


class BatchFailed(Exception):
    """A batch was rolled back: its `count` events are to be handled one at a time, to find the one that fails."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


class Handling:
    """Of one group, in one thread."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.breaker = CircuitBreaker()
        self._blocked: set[UUID] = set()

    def look_up(self, arrivals: list[Arrival]) -> None:
        """Finds out which keys of a fetched batch are blocked, in one question. Raises DatabaseError."""
        keys = {arrival.key for arrival in arrivals}
        self._blocked = (self._blocked - keys) | dead_letters.blocked_keys(self.group, keys)

    def handle_batch(self, arrivals: Sequence[Arrival]) -> int:
        """Handles the first events together, as far as one batch handler takes them. Returns how many are handled; 0
        where the first has to be handled alone. Raises OperationalError where the database is gone, and BatchFailed."""
        batch = self._batch(arrivals)
        if len(batch) < 2 or self.breaker.is_open:
            return 0
        try:
            new = deliver_batch(batch, group=self.group)
        except Exception as error:
            if isinstance(error, DATABASE_ERRORS) and not is_conflict(error):
                raise
            raise BatchFailed(len(batch)) from error
        self.breaker.succeeded(len(batch))
        metrics.breaker_open.labels(group=self.group).set(0)
        metrics.events.labels(group=self.group, result=Result.HANDLED.value).inc(new)
        metrics.events.labels(group=self.group, result=Result.SKIPPED.value).inc(len(batch) - new)
        return len(batch)

    def _batch(self, arrivals: Sequence[Arrival]) -> list[Envelope]:
        batch: list[Envelope] = []
        handler: BatchHandler | None = None
        for arrival in arrivals:
            if arrival.envelope is None or arrival.key in self._blocked:
                break
            own = batch_handler_of(arrival.envelope, group=self.group)
            if own is None or own is not (handler or own):
                break
            handler = own
            batch.append(arrival.envelope)
        return batch

    def handle(self, arrival: Arrival, *, attempt: int) -> Result:
        """One attempt, counted from 1. Raises OperationalError where the database is gone: that is no attempt."""
        result = self._handle(arrival, attempt)
        metrics.events.labels(group=self.group, result=result.value).inc()
        return result

    def _handle(self, arrival: Arrival, attempt: int) -> Result:
        envelope = arrival.envelope
        if envelope is None:
            return self._give_up(arrival, arrival.problem, attempt)
        if (envelope.event_type, envelope.schema_version) not in handlers_for(self.group, transport=Transport.KAFKA):
            return Result.SKIPPED
        if arrival.key in self._blocked:
            if dead_letters.set_aside_behind(self.group, arrival, now=timezone.now()):
                metrics.dead_letters.labels(group=self.group, reason="behind").inc()
                return Result.SET_ASIDE
            self._blocked.discard(arrival.key)
        try:
            is_new = deliver(envelope, group=self.group)
        except DATABASE_ERRORS:
            raise
        except Exception as error:
            return self._failed(arrival, error, attempt)
        self.breaker.succeeded()
        metrics.breaker_open.labels(group=self.group).set(0)
        return Result.HANDLED if is_new else Result.SKIPPED

    def _failed(self, arrival: Arrival, error: Exception, attempt: int) -> Result:
        is_hopeless = isinstance(error, InvalidPayload | UnknownMessage)
        if attempt < ATTEMPTS and not is_hopeless:
            logger.warning(
                "An event could not be handled; it is tried again.",
                attempt=attempt,
                error=dead_letters.describe(error),
                **self._names(arrival),
            )
            return Result.AGAIN
        return self._give_up(arrival, dead_letters.describe(error), attempt, error)

    def _give_up(self, arrival: Arrival, reason: str, attempt: int, error: Exception | None = None) -> Result:
        was_open = self.breaker.is_open
        if not self.breaker.may_give_up():
            metrics.breaker_open.labels(group=self.group).set(1)
            log = logger.warning if was_open else logger.critical
            log(
                "The consumer stops: too many events in a row cannot be handled, so the fault is not theirs. They "
                "wait in Kafka. Correct the cause, and the consumer goes on by itself.",
                error=reason,
                **self._names(arrival),
            )
            return Result.HELD
        dead_letters.set_aside(self.group, arrival, error=reason, attempts=attempt, now=timezone.now())
        self._blocked.add(arrival.key)
        self.breaker.gave_up()
        metrics.dead_letters.labels(group=self.group, reason="failed").inc()
        logger.error(
            "An event cannot be handled: it is a dead letter now, and later events of its key wait behind it.",
            error=reason,
            attempts=attempt,
            command=f"manage.py dead_letters redrive consumer:{self.group} --key {arrival.key}",
            exc_info=error,
            **self._names(arrival),
        )
        return Result.SET_ASIDE

    def _names(self, arrival: Arrival) -> dict[str, str | int]:
        return {
            "group": self.group,
            "event_id": str(arrival.event_id),
            "event_type": arrival.event_type,
            "key": str(arrival.key),
            "topic": arrival.topic,
            "partition": arrival.partition,
            "offset": arrival.offset,
        }
