"""What auditors and operators did with the event log itself."""

from datetime import datetime
from typing import Any
from uuid import UUID

from apps.events.catalogue.message import Event
from apps.events.catalogue.topics import AUDIT_EVENTS


class EventsReplayed(Event, name="audit.replayed", topic=AUDIT_EVENTS.name, aggregate="replay", key="replay_id"):
    """A replay ended. `filters` are the command's own words."""

    replay_id: UUID
    operator: str
    source: str
    target: str
    filters: dict[str, Any]
    events: int
    started_at: datetime
    ended_at: datetime


class DeadLettersRedriven(
    Event, name="audit.dead_letters.redriven", topic=AUDIT_EVENTS.name, aggregate="redrive", key="redrive_id"
):
    redrive_id: UUID
    operator: str
    queue: str
    filters: dict[str, Any]
    messages: int
    ended_at: datetime


class DeadLettersPurged(
    Event, name="audit.dead_letters.purged", topic=AUDIT_EVENTS.name, aggregate="redrive", key="redrive_id"
):
    redrive_id: UUID
    operator: str
    queue: str
    filters: dict[str, Any]
    messages: int
    ended_at: datetime
