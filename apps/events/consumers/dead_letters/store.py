"""Dead letters of consumer groups, in the table `events.dead_letter`, until an operator redrives or purges them.

While one event of a key is a dead letter, every later event of that key becomes one too, so that order per key is kept.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.core.errors import NotFound
from apps.events.consumers.dead_letters import (
    CONSUMER_PREFIX,
    DeadLetter,
    Filters,
    OnDeadLetter,
    RateLimiter,
    RedriveOutcome,
)
from apps.events.consumers.dead_letters.audit_event import publish_audit_event
from apps.events.consumers.delivery import deliver
from apps.events.consumers.inbound import InboundRecord
from apps.events.consumers.registry import groups, handlers_for, load_consumers
from apps.events.models import DeadLetter as Row
from apps.events.process.run_loop import DATABASE_ERRORS
from apps.messages.audit import DeadLettersPurged, DeadLettersRedriven
from apps.messages.cloud_events import from_json

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_NEVER_HANDLE = """
INSERT INTO inbox (consumer, event_id, processed_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING
"""


def blocked_keys(group: str, keys: Collection[UUID]) -> set[UUID]:
    """The keys among those given that have a dead letter. Raises DatabaseError."""
    waiting = _waiting(group).filter(key__in=keys)
    return set(waiting.values_list("key", flat=True).distinct())


def dead_letter(group: str, record: InboundRecord, *, error: str, attempts: int, now: datetime) -> None:
    """Stores an event that failed permanently, which blocks its key. Raises DatabaseError."""
    _store(group, record, Row.Reason.FAILED, error=error, attempts=attempts, now=now)


def dead_letter_behind(group: str, record: InboundRecord, *, now: datetime) -> bool:
    """Stores an event whose key is blocked.

    Returns False, and stores nothing, if a redrive has just unblocked the key.
    """
    with transaction.atomic():
        _lock(group, record.key)
        if not _waiting(group).filter(key=record.key).exists():
            return False
        _store(group, record, Row.Reason.BEHIND, error="", attempts=0, now=now)
    return True


def sources() -> list[str]:
    """One source per group of the installed apps, and per group that still has dead letters."""
    load_consumers()
    with_dead_letters = Row.objects.filter(redriven_at=None).values_list("consumer", flat=True).distinct()
    return [f"{CONSUMER_PREFIX}{group}" for group in sorted({*groups(), *with_dead_letters})]


def count(source: str) -> int:
    return _waiting(_group(source)).count()


def find(source: str, filters: Filters) -> Iterator[DeadLetter]:
    """The dead letters that match, oldest first."""
    rows = _matching(_group(source), filters)
    for row in rows[: filters.limit].iterator():
        yield _dead_letter(row)


def show(source: str, letter_id: str) -> DeadLetter:
    """Raises NotFound."""
    row = Row.objects.filter(consumer=_group(source), pk=letter_id if letter_id.isdigit() else -1).first()
    if row is None:
        raise NotFound(f"{source} has no dead letter {letter_id}.")
    return _dead_letter(row)


def redrive(
    source: str, filters: Filters, *, rate: float | None, dry_run: bool, operator: str, progress: OnDeadLetter
) -> RedriveOutcome:
    """Handles dead letters again, at most `rate` per second. Raises DatabaseError.

    For each key that has a match, every older dead letter of that key is handled first. A key stops at the first event
    that fails again.
    """
    load_consumers()
    group = _group(source)
    last_of_key = {row.key: row.pk for row in _matching(group, filters)[: filters.limit]}
    run = _Redrive(group, RateLimiter(rate), dry_run, progress)
    for key, last in last_of_key.items():
        run.redrive_key(key, last)
    if not dry_run and (run.redriven or run.failed):
        publish_audit_event(DeadLettersRedriven, source, filters, run.redriven, operator)
    return RedriveOutcome(run.redriven, run.failed, run.left)


@transaction.atomic
def purge(source: str, filters: Filters, *, dry_run: bool, operator: str) -> int:
    """Deletes the dead letters that match and marks their events as handled, so that the group never handles them.

    The events stay in the event store. Returns how many matched.
    """
    group = _group(source)
    rows = list(_matching(group, filters).select_for_update()[: filters.limit])
    if rows and not dry_run:
        with connection.cursor() as cursor:
            for row in rows:
                cursor.execute(_NEVER_HANDLE, [group, row.event_id])
        Row.objects.filter(pk__in=[row.pk for row in rows]).delete()
        publish_audit_event(DeadLettersPurged, source, filters, len(rows), operator)
    return len(rows)


class _Redrive:
    def __init__(self, group: str, limiter: RateLimiter, dry_run: bool, progress: OnDeadLetter) -> None:
        self._group = group
        self._limiter = limiter
        self._dry_run = dry_run
        self._progress = progress
        self.redriven = self.failed = self.left = 0

    def redrive_key(self, key: UUID, last: int) -> None:
        """Handles the key's dead letters up to the row with id `last`, oldest first, until one fails again.

        If `last` was the newest of the key, events that were stored behind it meanwhile are handled too: the key is
        unblocked then, and nothing else would ever handle them.
        """
        rows = _waiting(self._group).filter(key=key).order_by("pk")
        is_all = not rows.filter(pk__gt=last).exists()
        seen = 0
        while (row := rows.filter(pk__gt=seen).first()) is not None:
            if row.pk > last and not (is_all and row.reason == Row.Reason.BEHIND):
                return
            seen = row.pk
            self._limiter.wait()
            error = "" if self._dry_run else _handle_again(self._group, row)
            if error:
                self.failed += 1
                self.left += rows.filter(pk__gt=seen, pk__lte=last).count()
                self._progress(_dead_letter(row), f"failed again: {error}")
                return
            self.redriven += 1
            self._progress(_dead_letter(row), "would be handled" if self._dry_run else "handled")


def _handle_again(group: str, row: Row) -> str:
    """Handles one event. Returns the error's text if it fails again, otherwise an empty text."""
    try:
        with transaction.atomic():
            _lock(group, row.key)
            envelope = from_json(row.envelope)
            if (envelope.event_type, envelope.schema_version) not in handlers_for(group):
                raise NotFound(f"{group} has no handler for {envelope.event_type} v{envelope.schema_version} here.")
            deliver(envelope, group=group)
            row.redriven_at = timezone.now()
            row.save(update_fields=["redriven_at"])
    except DATABASE_ERRORS:
        raise
    except Exception as error:
        row.redriven_at = None
        row.reason = Row.Reason.FAILED
        row.attempts += 1
        row.error = describe(error)
        row.save(update_fields=["reason", "attempts", "error"])
        return row.error
    return ""


def describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


def _waiting(group: str) -> QuerySet[Row]:
    return Row.objects.filter(consumer=group, redriven_at=None)


def _matching(group: str, filters: Filters) -> QuerySet[Row]:
    conditions: dict[str, Any] = {
        "event_type": filters.event_type,
        "key": filters.key,
        "error__icontains": filters.error,
        "created_at__gte": filters.since,
        "created_at__lt": filters.until,
    }
    given = {name: value for name, value in conditions.items() if value is not None}
    return _waiting(group).filter(**given).order_by("pk")


def _store(group: str, record: InboundRecord, reason: Row.Reason, *, error: str, attempts: int, now: datetime) -> None:
    Row.objects.get_or_create(
        consumer=group,
        event_id=record.event_id,
        defaults={
            "event_type": record.event_type,
            "key": record.key,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "envelope": record.as_json(),
            "reason": reason,
            "error": error[:2000],
            "attempts": attempts,
            "created_at": now,
        },
    )


def _lock(group: str, key: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [f"{group}/{key}"])


def _dead_letter(row: Row) -> DeadLetter:
    return DeadLetter(
        letter_id=str(row.pk),
        source=f"{CONSUMER_PREFIX}{row.consumer}",
        event_type=row.event_type,
        event_id=row.event_id,
        key=row.key,
        reason=row.reason,
        error=row.error,
        attempts=row.attempts,
        died_at=row.created_at,
        content={"topic": row.topic, "partition": row.partition, "offset": row.offset, "event": row.envelope},
    )


def _group(source: str) -> str:
    return source.removeprefix(CONSUMER_PREFIX)
