"""Events that a consumer group could not handle, in order of their key, until they are redriven or purged.

While one event of a key waits here, every later event of the same key joins it: nothing overtakes.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.core.errors import NotFound
from apps.events.consumers.dead_letters import CONSUMER_PREFIX, Filters, Letter, Outcome, Pace, Progress
from apps.events.consumers.dead_letters.announcement import announce
from apps.events.consumers.delivery import deliver
from apps.events.consumers.inbound import Arrival
from apps.events.consumers.registry import groups, handlers_for, load_consumers
from apps.events.models import DeadLetter
from apps.events.process.run_loop import DATABASE_ERRORS
from apps.messages.audit import DeadLettersPurged, DeadLettersRedriven
from apps.messages.cloud_events import from_json

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_NEVER_HANDLE = """
INSERT INTO inbox (consumer, event_id, processed_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING
"""


def blocked_keys(group: str, keys: Collection[UUID]) -> set[UUID]:
    """Those of the keys that have an event waiting. Raises DatabaseError."""
    waiting = _waiting(group).filter(key__in=keys)
    return set(waiting.values_list("key", flat=True).distinct())


def set_aside(group: str, arrival: Arrival, *, error: str, attempts: int, now: datetime) -> None:
    """Keeps an event that failed for good; its key is blocked from now on. Raises DatabaseError."""
    _keep(group, arrival, DeadLetter.Reason.FAILED, error=error, attempts=attempts, now=now)


def set_aside_behind(group: str, arrival: Arrival, *, now: datetime) -> bool:
    """Keeps an event whose key is blocked. False, and nothing is kept, where a redrive has just freed the key."""
    with transaction.atomic():
        _lock(group, arrival.key)
        if not _waiting(group).filter(key=arrival.key).exists():
            return False
        _keep(group, arrival, DeadLetter.Reason.BEHIND, error="", attempts=0, now=now)
    return True


def sources() -> list[str]:
    """The groups of the installed apps, and those that have left letters behind."""
    load_consumers()
    with_letters = DeadLetter.objects.filter(redriven_at=None).values_list("consumer", flat=True).distinct()
    return [f"{CONSUMER_PREFIX}{group}" for group in sorted({*groups(), *with_letters})]


def count(source: str) -> int:
    return _waiting(_group(source)).count()


def letters(source: str, filters: Filters) -> Iterator[Letter]:
    """What waits, oldest first."""
    rows = _matching(_group(source), filters)
    for row in rows[: filters.limit].iterator():
        yield _letter(row)


def show(source: str, letter_id: str) -> Letter:
    """Raises NotFound."""
    row = DeadLetter.objects.filter(consumer=_group(source), pk=letter_id if letter_id.isdigit() else -1).first()
    if row is None:
        raise NotFound(f"{source} has no dead letter {letter_id}.")
    return _letter(row)


def redrive(
    source: str, filters: Filters, *, rate: float | None, dry_run: bool, operator: str, progress: Progress
) -> Outcome:
    """Handles waiting events again, at most `rate` a second. Raises DatabaseError.

    A letter that fits the filters brings with it whatever of its key is older: a key's events are handled in order, up
    to the first that fails again.
    """
    load_consumers()
    group = _group(source)
    last_of_key = {row.key: row.pk for row in _matching(group, filters)[: filters.limit]}
    run = _Redrive(group, Pace(rate), dry_run, progress)
    for key, last in last_of_key.items():
        run.redrive_key(key, last)
    if not dry_run and (run.redriven or run.failed):
        announce(DeadLettersRedriven, source, filters, run.redriven, operator)
    return Outcome(run.redriven, run.failed, run.left)


@transaction.atomic
def purge(source: str, filters: Filters, *, dry_run: bool, operator: str) -> int:
    """Decides that the group never handles these events. They stay in the event store. Returns how many."""
    group = _group(source)
    rows = list(_matching(group, filters).select_for_update()[: filters.limit])
    if rows and not dry_run:
        with connection.cursor() as cursor:
            for row in rows:
                cursor.execute(_NEVER_HANDLE, [group, row.event_id])
        DeadLetter.objects.filter(pk__in=[row.pk for row in rows]).delete()
        announce(DeadLettersPurged, source, filters, len(rows), operator)
    return len(rows)


class _Redrive:
    def __init__(self, group: str, pace: Pace, dry_run: bool, progress: Progress) -> None:
        self._group = group
        self._pace = pace
        self._dry_run = dry_run
        self._progress = progress
        self.redriven = self.failed = self.left = 0

    def redrive_key(self, key: UUID, last: int) -> None:
        """The key's letters up to the one with the id `last`, oldest first, until one fails again.

        Where that is all there were, those too that came behind them meanwhile: else they would wait for nothing.
        """
        letters = _waiting(self._group).filter(key=key).order_by("pk")
        is_all = not letters.filter(pk__gt=last).exists()
        seen = 0
        while (row := letters.filter(pk__gt=seen).first()) is not None:
            if row.pk > last and not (is_all and row.reason == DeadLetter.Reason.BEHIND):
                return
            seen = row.pk
            self._pace.wait()
            error = "" if self._dry_run else _handle_again(self._group, row)
            if error:
                self.failed += 1
                self.left += letters.filter(pk__gt=seen, pk__lte=last).count()
                self._progress(_letter(row), f"failed again: {error}")
                return
            self.redriven += 1
            self._progress(_letter(row), "would be handled" if self._dry_run else "handled")


def _handle_again(group: str, row: DeadLetter) -> str:
    """Handles one event; the error's text where it fails again."""
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
        row.reason = DeadLetter.Reason.FAILED
        row.attempts += 1
        row.error = describe(error)
        row.save(update_fields=["reason", "attempts", "error"])
        return row.error
    return ""


def describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


def _waiting(group: str) -> QuerySet[DeadLetter]:
    return DeadLetter.objects.filter(consumer=group, redriven_at=None)


def _matching(group: str, filters: Filters) -> QuerySet[DeadLetter]:
    wanted: dict[str, Any] = {
        "event_type": filters.event_type,
        "key": filters.key,
        "error__icontains": filters.error,
        "created_at__gte": filters.since,
        "created_at__lt": filters.until,
    }
    return _waiting(group).filter(**{name: value for name, value in wanted.items() if value is not None}).order_by("pk")


def _keep(group: str, arrival: Arrival, reason: DeadLetter.Reason, *, error: str, attempts: int, now: datetime) -> None:
    DeadLetter.objects.get_or_create(
        consumer=group,
        event_id=arrival.event_id,
        defaults={
            "event_type": arrival.event_type,
            "key": arrival.key,
            "topic": arrival.topic,
            "partition": arrival.partition,
            "offset": arrival.offset,
            "envelope": arrival.as_json(),
            "reason": reason,
            "error": error[:2000],
            "attempts": attempts,
            "created_at": now,
        },
    )


def _lock(group: str, key: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [f"{group}/{key}"])


def _letter(row: DeadLetter) -> Letter:
    return Letter(
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
