"""One replay: paced, counted, and itself an event."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.audit.filters import EventFilter
from apps.audit.replay.targets import Target
from apps.core.ids import new_id
from apps.events.catalogue.audit import EventsReplayed
from apps.events.envelope import Envelope
from apps.events.services import publish


@dataclass(frozen=True)
class Replayed:
    replay_id: UUID
    events: int


def replay(
    envelopes: Iterable[Envelope],
    *,
    target: Target,
    source: str,
    filters: EventFilter,
    operator: str,
    events_per_second: float | None,
    clock: Callable[[], datetime],
    progress: Callable[[int], None] = lambda _events: None,
) -> Replayed:
    """Hands every event to the target, marked as replayed, and publishes `audit.replayed` at the end."""
    replay_id, started_at, events = new_id(), clock(), 0
    began = time.monotonic()
    for envelope in envelopes:
        target.take(replace(envelope, replay_id=replay_id))
        events += 1
        progress(events)
        if events_per_second:
            time.sleep(max(0.0, began + events / events_per_second - time.monotonic()))
    with transaction.atomic():
        publish(
            EventsReplayed(
                replay_id=replay_id,
                operator=operator,
                source=source,
                target=target.name,
                filters=filters.described(),
                events=events,
                started_at=started_at,
                ended_at=clock(),
            ),
            now=clock(),
        )
    return Replayed(replay_id, events)
