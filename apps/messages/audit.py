"""Events about the event log itself: replays, exports, redrives, releases and restores."""

from datetime import datetime
from typing import Any
from uuid import UUID

from apps.messages.base import Event
from apps.messages.topics import AUDIT_EVENTS


class ReplayStarted(Event, name="audit.replay.started", topic=AUDIT_EVENTS.name, aggregate="replay", key="replay_id"):
    """A replay is about to hand over its first event. `filters` are the command's own words."""

    replay_id: UUID
    operator: str
    source: str
    target: str
    filters: dict[str, Any]
    started_at: datetime


class ReplayInterrupted(
    Event, name="audit.replay.interrupted", topic=AUDIT_EVENTS.name, aggregate="replay", key="replay_id"
):
    """A replay ended before its end: what it was to fill is incomplete, after so many `events`.

    `reason` is the kind of the error; `event_id`, the event that could not be handed over, where it was that.
    """

    replay_id: UUID
    operator: str
    source: str
    target: str
    filters: dict[str, Any]
    events: int
    reason: str
    event_id: UUID | None
    started_at: datetime
    interrupted_at: datetime


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


class EventsExported(Event, name="audit.exported", topic=AUDIT_EVENTS.name, aggregate="export", key="export_id"):
    """A signed bundle of events was made. `sha256` is its file's, in hexadecimal; `filters` are the command's words."""

    export_id: UUID
    operator: str
    filters: dict[str, Any]
    events: int
    sha256: str
    exported_at: datetime


class EventsExportedAsLines(
    Event, name="audit.exported", version=2, topic=AUDIT_EVENTS.name, aggregate="export", key="export_id"
):
    """A member of staff exported events on the staff site, as JSON Lines without a signature, and said why.

    `sha256` is the file's, in hexadecimal.
    """

    export_id: UUID
    staff_id: UUID
    filters: dict[str, Any]
    events: int
    sha256: str
    because: str
    exported_at: datetime


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


class ParkedKeyReleased(
    Event, name="audit.parked_key.released", topic=AUDIT_EVENTS.name, aggregate="release", key="release_id"
):
    """Somebody let the messages of a parked key go. `without` is the one that is never sent, where one was left out."""

    release_id: UUID
    operator: str
    transports: tuple[str, ...]
    released_key: UUID
    without: UUID | None
    messages: int
    released_at: datetime


class StoreRestored(Event, name="audit.restored", topic=AUDIT_EVENTS.name, aggregate="restore", key="restore_id"):
    """The database was restored from a backup: what was recorded after `restored_to` is lost to it, and may be known to
    subscribers; events with the same aggregate and number may follow it.

    `lineage` is PostgreSQL's system identifier and timeline since then. `epoch` numbers the witness's files. The one
    that was closed has the SHA-256 `witness_sha256` (hexadecimal), saw `witness_events` sealed events, and agrees with
    the database up to `sealed_events`. Without a witness the hash is empty.
    """

    restore_id: UUID
    operator: str
    reason: str
    restored_to: datetime
    lineage: str
    epoch: int
    sealed_events: int
    witness_events: int
    witness_sha256: str
    recorded_at: datetime
