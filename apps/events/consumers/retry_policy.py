"""Retry policy of a consumer group: each event is handled, skipped, retried, dead-lettered, or halts its partition."""

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

import structlog
from django.utils import timezone

from apps.events.consumers import metrics
from apps.events.consumers.dead_letters import store as dead_letters
from apps.events.consumers.delivery import batch_handler_of, deliver, deliver_batch
from apps.events.consumers.inbound import InboundRecord
from apps.events.consumers.partition import MAX_ATTEMPTS
from apps.events.consumers.registry import BatchHandler, handlers_for
from apps.events.process.circuit_breaker import CircuitBreaker
from apps.events.process.run_loop import DATABASE_ERRORS, is_conflict
from apps.messages.base import InvalidPayload, Transport, UnknownMessage
from apps.messages.envelope import Envelope

logger = structlog.get_logger(__name__)


class Result(StrEnum):
    HANDLED = "handled"
    # Handled before, or the group has no handler for it.
    SKIPPED = "skipped"
    DEAD_LETTERED = "dead_lettered"
    RETRY = "retry"
    # The circuit breaker is open: so many events fail that the cause is not in this event.
    HALTED = "halted"


class BatchFailed(Exception):
    """A batch of `count` events was rolled back. They have to be handled one at a time, to find the one that fails."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


class RetryPolicy:
    """One instance per consumer group. Not thread-safe."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.breaker = CircuitBreaker()
        self._blocked: set[UUID] = set()

    def look_up(self, records: list[InboundRecord]) -> None:
        """Looks up, in one query, which keys of a fetched batch are blocked. Raises DatabaseError."""
        keys = {record.key for record in records}
        self._blocked = (self._blocked - keys) | dead_letters.blocked_keys(self.group, keys)

    def handle_batch(self, records: Sequence[InboundRecord]) -> int:
        """Handles the longest prefix that has one batch handler in common, in one transaction.

        Returns how many events were handled; 0 if the first event has to be handled alone. Raises BatchFailed, and
        OperationalError if PostgreSQL cannot be reached.
        """
        batch = self._batch(records)
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

    def _batch(self, records: Sequence[InboundRecord]) -> list[Envelope]:
        batch: list[Envelope] = []
        handler: BatchHandler | None = None
        for record in records:
            if record.envelope is None or record.key in self._blocked:
                break
            candidate = batch_handler_of(record.envelope, group=self.group)
            if candidate is None or candidate is not (handler or candidate):
                break
            handler = candidate
            batch.append(record.envelope)
        return batch

    def handle(self, record: InboundRecord, *, attempt: int) -> Result:
        """Makes one attempt; `attempt` counts from 1.

        Raises OperationalError if PostgreSQL cannot be reached: that does not count as an attempt.
        """
        result = self._handle(record, attempt)
        metrics.events.labels(group=self.group, result=result.value).inc()
        return result

    def _handle(self, record: InboundRecord, attempt: int) -> Result:
        envelope = record.envelope
        if envelope is None:
            return self._give_up(record, record.problem, attempt)
        if (envelope.event_type, envelope.schema_version) not in handlers_for(self.group, transport=Transport.KAFKA):
            return Result.SKIPPED
        if record.key in self._blocked:
            if dead_letters.dead_letter_behind(self.group, record, now=timezone.now()):
                metrics.dead_letters.labels(group=self.group, reason="behind").inc()
                return Result.DEAD_LETTERED
            self._blocked.discard(record.key)
        try:
            is_new = deliver(envelope, group=self.group)
        except DATABASE_ERRORS:
            raise
        except Exception as error:
            return self._failed(record, error, attempt)
        self.breaker.succeeded()
        metrics.breaker_open.labels(group=self.group).set(0)
        return Result.HANDLED if is_new else Result.SKIPPED

    def _failed(self, record: InboundRecord, error: Exception, attempt: int) -> Result:
        is_permanent = isinstance(error, InvalidPayload | UnknownMessage)
        if attempt < MAX_ATTEMPTS and not is_permanent:
            logger.warning(
                "event_retried",
                attempt=attempt,
                error=dead_letters.describe(error),
                **self._log_fields(record),
            )
            return Result.RETRY
        return self._give_up(record, dead_letters.describe(error), attempt, error)

    def _give_up(self, record: InboundRecord, reason: str, attempt: int, error: Exception | None = None) -> Result:
        was_open = self.breaker.is_open
        if not self.breaker.may_give_up():
            metrics.breaker_open.labels(group=self.group).set(1)
            log = logger.warning if was_open else logger.critical
            log(
                "consumer_halted",
                error=reason,
                advice=(
                    "Too many events in a row failed, so the cause is not in the events. They wait in Kafka. Remove "
                    "the cause; the consumer resumes by itself."
                ),
                **self._log_fields(record),
            )
            return Result.HALTED
        dead_letters.dead_letter(self.group, record, error=reason, attempts=attempt, now=timezone.now())
        self._blocked.add(record.key)
        self.breaker.gave_up()
        metrics.dead_letters.labels(group=self.group, reason="failed").inc()
        logger.error(
            "event_dead_lettered",
            error=reason,
            advice="Later events of its key are dead-lettered behind it. Remove the cause, then run the command.",
            attempts=attempt,
            command=f"manage.py dead_letters redrive consumer:{self.group} --key {record.key}",
            exc_info=error,
            **self._log_fields(record),
        )
        return Result.DEAD_LETTERED

    def _log_fields(self, record: InboundRecord) -> dict[str, str | int]:
        return {
            "group": self.group,
            "event_id": str(record.event_id),
            "event_type": record.event_type,
            "key": str(record.key),
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
        }
