"""Search of the event store, over its indexes only, page by page.

Every filter is the beginning of an index. Where none is given, each type's newest events are read by the index of types
and merged: the store has no index of time alone, which each event would pay for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from apps.events.models import StoredEvent
from apps.messages.base import all_messages

PAGE_ROWS = 50

_COLUMNS = """event_id, recorded_at, occurred_at, event_type, schema_version, aggregate_type, aggregate_id,
    aggregate_seq, user_id, correlation_id, causation_id, traceparent, actor"""
_ORDER = "ORDER BY recorded_at DESC, event_id DESC"


@dataclass(frozen=True)
class EventQuery:
    """All given parts must match. Times are aware UTC and those of recording: from `since` up to, not including,
    `until`. `trace_id` is that of the W3C trace context, 32 hexadecimal digits; it has no index, so another part or at
    most an hour must narrow it."""

    event_type: str = ""
    aggregate_id: UUID | None = None
    user_id: UUID | None = None
    correlation_id: UUID | None = None
    trace_id: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether an index other than that of types finds the events."""
        return any((self.aggregate_id, self.user_id, self.correlation_id))


@dataclass(frozen=True)
class EventLine:
    """A stored event without its payload."""

    event_id: UUID
    recorded_at: datetime
    occurred_at: datetime
    event_type: str
    schema_version: int
    aggregate_type: str
    aggregate_id: UUID
    aggregate_seq: int
    user_id: UUID | None
    correlation_id: UUID
    causation_id: UUID | None
    traceparent: str
    actor: str


@dataclass(frozen=True)
class Place:
    """Where a page begins: after this event, towards the past."""

    recorded_at: datetime
    event_id: UUID


@dataclass(frozen=True)
class EventPage:
    lines: Sequence[EventLine] = field(default_factory=list)
    next_place: Place | None = None


def event_page(query: EventQuery, *, after: Place | None = None, limit: int = PAGE_ROWS) -> EventPage:
    """A page of events, newest first. Raises DatabaseError."""
    conditions, parameters = _conditions(query, after)
    where = " AND ".join(["true", *conditions])
    if query.is_narrow:
        typed = ["event_type = %s"] if query.event_type else []
        where = " AND ".join([where, *typed])
        given = [*parameters, *([query.event_type] if query.event_type else [])]
        statement = f"SELECT {_COLUMNS} FROM events.event WHERE {where} {_ORDER} LIMIT %s"  # noqa: S608  # nosec B608
        rows = _rows(statement, [*given, limit + 1])
    else:
        statement = f"""
            SELECT found.* FROM unnest(%s::text[]) AS type (name) CROSS JOIN LATERAL (
                SELECT {_COLUMNS} FROM events.event
                 WHERE event_type = type.name AND {where} {_ORDER} LIMIT %s) AS found
            {_ORDER} LIMIT %s"""  # noqa: S608  # nosec B608
        types = [query.event_type] if query.event_type else event_types()
        rows = _rows(statement, [types, *parameters, limit + 1, limit + 1])
    lines = [EventLine(*row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return EventPage(lines, Place(lines[-1].recorded_at, lines[-1].event_id) if has_more else None)


def chain_lines(correlation_id: UUID, *, limit: int) -> list[EventLine]:
    """The first events with a correlation id, in the order of recording. Raises DatabaseError."""
    statement = f"""SELECT {_COLUMNS} FROM events.event WHERE correlation_id = %s
                     ORDER BY recorded_at, event_id LIMIT %s"""  # noqa: S608  # nosec B608
    return [EventLine(*row) for row in _rows(statement, [correlation_id, limit])]


def story_rows(*, correlation_id: UUID | None, aggregate_id: UUID | None) -> QuerySet[StoredEvent]:
    """The events of a chain or else of one aggregate, with their payloads, in the order of recording."""
    rows = StoredEvent.objects.order_by("recorded_at", "aggregate_seq")
    if correlation_id is not None:
        return rows.filter(correlation_id=correlation_id)
    assert aggregate_id is not None
    return rows.filter(aggregate_type__in=aggregate_types(), aggregate_id=aggregate_id)


def event_types() -> list[str]:
    return sorted({each.declaration.name for each in all_messages()})


def aggregate_types() -> list[str]:
    return sorted({each.declaration.aggregate for each in all_messages()})


def _conditions(query: EventQuery, after: Place | None) -> tuple[list[str], list[Any]]:
    parts: list[tuple[str, list[Any]]] = []
    if query.aggregate_id is not None:
        # The index of aggregates begins with the type.
        parts.append(("aggregate_type = ANY(%s) AND aggregate_id = %s", [aggregate_types(), query.aggregate_id]))
    if query.user_id is not None:
        parts.append(("user_id = %s", [query.user_id]))
    if query.correlation_id is not None:
        parts.append(("correlation_id = %s", [query.correlation_id]))
    if query.trace_id:
        parts.append(("substr(traceparent, 4, 32) = %s", [query.trace_id]))
    if query.since is not None:
        parts.append(("recorded_at >= %s", [query.since]))
    if query.until is not None:
        parts.append(("recorded_at < %s", [query.until]))
    if after is not None:
        # The first condition is what the indexes can use.
        parts.append(("recorded_at <= %s", [after.recorded_at]))
        parts.append(("(recorded_at, event_id) < (%s, %s)", [after.recorded_at, after.event_id]))
    return [text for text, _ in parts], [value for _, values in parts for value in values]


def _rows(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
