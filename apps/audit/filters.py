"""Event filters of replay and export, for Kafka, the event store and archives."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from apps.core.errors import PlatformError
from apps.messages.base import all_messages
from apps.messages.envelope import Envelope

# How far the application's clock (`occurred_at`) and the database's clock (`recorded_at`) may differ.
CLOCK_MARGIN = timedelta(minutes=5)


class InvalidFilter(PlatformError):
    """A filter names something that does not exist, or is malformed."""

    code = "invalid_filter"
    http_status = 422


@dataclass(frozen=True)
class EventFilter:
    """All given parts must match. Times are aware UTC: `occurred_at` from `since` up to, not including, `until`."""

    topic: str | None = None
    aggregate_type: str | None = None
    aggregate_id: UUID | None = None
    user_id: UUID | None = None
    correlation_id: UUID | None = None
    event_types: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def recorded_since(self) -> datetime | None:
        """No matching event was recorded before this time, by the database's clock. None if there is no such limit."""
        return None if self.since is None else self.since - CLOCK_MARGIN

    def fits(self, envelope: Envelope) -> bool:
        return (
            (self.topic is None or envelope.event_type in types_of(self.topic))
            and (self.aggregate_type is None or envelope.aggregate_type == self.aggregate_type)
            and (self.aggregate_id is None or envelope.aggregate_id == self.aggregate_id)
            and (self.user_id is None or envelope.user_id == self.user_id)
            and (self.correlation_id is None or envelope.correlation_id == self.correlation_id)
            and (not self.event_types or envelope.event_type in self.event_types)
            and (self.since is None or envelope.occurred_at >= self.since)
            and (self.until is None or envelope.occurred_at < self.until)
        )

    def sql(self) -> tuple[str, list[Any]]:
        """A condition over events.event, and its parameters."""
        parts: list[tuple[str, Any]] = []
        if self.topic is not None:
            parts.append(("event_type = ANY(%s)", sorted(types_of(self.topic))))
        if self.aggregate_type is not None:
            parts.append(("aggregate_type = %s", self.aggregate_type))
        if self.aggregate_id is not None:
            parts.append(("aggregate_id = %s", self.aggregate_id))
        if self.user_id is not None:
            parts.append(("user_id = %s", self.user_id))
        if self.correlation_id is not None:
            parts.append(("correlation_id = %s", self.correlation_id))
        if self.event_types:
            parts.append(("event_type = ANY(%s)", list(self.event_types)))
        if self.since is not None:
            parts.append(("occurred_at >= %s", self.since))
        if self.until is not None:
            parts.append(("occurred_at < %s", self.until))
        return " AND ".join(text for text, _ in parts) or "true", [value for _, value in parts]

    def topics(self) -> set[str]:
        """The topics that can hold matching events."""
        names = {
            message.declaration.topic
            for message in all_messages()
            if message.declaration.topic and (not self.event_types or message.declaration.name in self.event_types)
        }
        return names & {self.topic} if self.topic else names

    def described(self) -> dict[str, Any]:
        """The given parts as text."""
        parts = {name: value for name, value in vars(self).items() if value not in (None, ())}
        return {name: list(value) if isinstance(value, tuple) else str(value) for name, value in parts.items()}


@cache
def types_of(topic: str) -> frozenset[str]:
    """The types of the events, commands and status messages in a topic."""
    return frozenset(m.declaration.name for m in all_messages() if m.declaration.topic == topic)


def add_arguments(parser: Any) -> None:
    """Adds the command-line options of a filter."""
    parser.add_argument("--topic", help="a Kafka topic, such as trading.events")
    parser.add_argument("--aggregate", metavar="TYPE:ID", help="one aggregate, such as bot:0190f3c4-...")
    parser.add_argument("--user", metavar="ID", help="events of one user")
    parser.add_argument("--correlation", metavar="ID", help="events of one causal chain: all that one request caused")
    parser.add_argument("--type", action="append", default=[], metavar="NAME", help="an event type; may be repeated")
    parser.add_argument("--since", metavar="TIME", help="occurred at or after, ISO 8601, UTC where no zone is given")
    parser.add_argument("--until", metavar="TIME", help="occurred before")


def filter_of(options: dict[str, Any]) -> EventFilter:
    """The filter of the command-line options. Raises InvalidFilter."""
    aggregate_type, aggregate_id = _aggregate(options["aggregate"])
    known = {message.declaration.name for message in all_messages()}
    for name in options["type"]:
        if name not in known:
            raise InvalidFilter(f"No event is called {name!r}. Known: {', '.join(sorted(known))}.")
    topics = {message.declaration.topic for message in all_messages()}
    if options["topic"] and options["topic"] not in topics:
        raise InvalidFilter(f"There is no topic {options['topic']!r}.")
    return EventFilter(
        topic=options["topic"],
        aggregate_type=aggregate_type,
        aggregate_id=aggregate_id,
        user_id=_uuid(options["user"], "--user") if options["user"] else None,
        correlation_id=_uuid(options["correlation"], "--correlation") if options["correlation"] else None,
        event_types=tuple(options["type"]),
        since=_time(options["since"], "--since"),
        until=_time(options["until"], "--until"),
    )


def _aggregate(text: str | None) -> tuple[str | None, UUID | None]:
    if not text:
        return None, None
    aggregate_type, separator, aggregate_id = text.partition(":")
    if not separator:
        raise InvalidFilter("--aggregate is TYPE:ID, such as bot:0190f3c4-0000-7000-8000-000000000000.")
    return aggregate_type, _uuid(aggregate_id, "--aggregate")


def _uuid(text: str, option: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidFilter(f"{option}: {text!r} is not an id (UUID).") from None


def _time(text: str | None, option: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = parse_datetime(text) or parse_datetime(f"{text}T00:00:00")
    except ValueError:
        moment = None
    if moment is None:
        raise InvalidFilter(f"{option}: {text!r} is not a time. Write it like 2026-01-31T12:00:00Z.")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
