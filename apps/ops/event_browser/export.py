"""Export of a chain, or of what one object did, as JSON Lines: who exported what, and why, is an event.

The file is not signed: this process has no key of the audit log, and must not. `manage.py audit_export --correlation`
makes a signed bundle of the same events.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest

from apps.core.errors import Refused
from apps.core.ids import new_id
from apps.core.staff_actions import StaffAction, staff_action_record
from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from apps.events.store.selectors import envelope_of
from apps.messages.audit import EventsExportedAsLines
from apps.messages.cloud_events import timestamp, to_json
from apps.ops.event_browser.query import story_rows

MOST_EVENTS = 10_000


class TooManyToExport(Refused):
    """The page answers at once, so what it exports is bounded."""

    code = "too_many_to_export"

    def __init__(self) -> None:
        super().__init__(f"More than {MOST_EVENTS} events: use `manage.py audit_export`.", limit=MOST_EVENTS)


class NothingFound(Refused):
    code = "nothing_to_export"

    def __init__(self) -> None:
        super().__init__("No event matches: nothing was exported.")


@dataclass(frozen=True)
class ExportedLines:
    export_id: UUID
    content: bytes
    events: int


@transaction.atomic
def events_export(
    request: HttpRequest, *, correlation_id: UUID | None, aggregate_id: UUID | None, because: str, now: datetime
) -> ExportedLines:
    """The events in the order of recording, one JSON object a line, and the events that say so.

    Raises NothingFound, TooManyToExport.
    """
    rows = story_rows(correlation_id=correlation_id, aggregate_id=aggregate_id)
    name, value = ("correlation_id", correlation_id) if correlation_id else ("aggregate_id", aggregate_id)
    found = list(rows[: MOST_EVENTS + 1])
    if not found:
        raise NothingFound()
    if len(found) > MOST_EVENTS:
        raise TooManyToExport()
    staff: Any = request.user
    content = b"".join(_line(event) for event in found)
    export_id = new_id()
    exported = EventsExportedAsLines(
        export_id=export_id,
        staff_id=staff.id,
        filters={name: str(value)},
        events=len(found),
        sha256=hashlib.sha256(content).hexdigest(),
        exported_at=now,
        because=because,
    )
    publish(exported, now=now)
    action = StaffAction(
        page="events.storedevent", action="export", objects=(str(value),), count=len(found), reason=because
    )
    staff_action_record(request, action)
    return ExportedLines(export_id, content, len(found))


def _line(event: StoredEvent) -> bytes:
    """As CloudEvents has it, with the time of recording and the hash of the chain."""
    told = to_json(envelope_of(event))
    told |= {"recordedtime": timestamp(event.recorded_at), "hash": bytes(event.hash).hex()}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
