"""One replay: paced, counted, and itself on record before the first event is given away."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, islice
from typing import Any
from uuid import UUID

from django.db import Error, connection, transaction

from apps.audit.filters import EventFilter
from apps.audit.replay.targets import Target
from apps.core.errors import PlatformError
from apps.core.ids import new_id
from apps.events.catalogue import Event
from apps.events.catalogue.audit import EventsReplayed, ReplayInterrupted, ReplayStarted
from apps.events.envelope import Envelope
from apps.events.services import publish


class ReplayCutShort(PlatformError):
    """A replay ended before its end."""

    code = "replay_cut_short"
    http_status = 500


@dataclass(frozen=True)
class Replayed:
    replay_id: UUID
    events: int


@dataclass
class _Progress:
    """How far a replay has come, and the event that is being handed over."""

    has_begun: bool = False
    events: int = 0
    envelope: Envelope | None = None


def replay(
    envelopes: Generator[Envelope, None, None],
    *,
    target: Target,
    source: str,
    filters: EventFilter,
    operator: str,
    events_per_second: float | None,
    clock: Callable[[], datetime],
    progress: Callable[[int], None] = lambda _events: None,
) -> Replayed:
    """Hands every event to the target, marked as replayed.

    Publishes `audit.replay.started` before the first event, and `audit.replayed` after the last. A source that cannot
    be read raises its own error before anything is published or cleared. What ends the replay later, Ctrl-C too, is
    published as `audit.replay.interrupted`, and raised as ReplayCutShort, which says where and what is left.
    """
    replay_id, started_at = new_id(), clock()
    facts: dict[str, Any] = {
        "replay_id": replay_id,
        "operator": operator,
        "source": source,
        "target": target.name,
        "filters": filters.described(),
        "started_at": started_at,
    }
    so_far = _Progress()
    with closing(envelopes):
        first = list(islice(envelopes, 1))
        _publish(ReplayStarted(**facts), now=started_at)
        try:
            target.begin()
            so_far.has_begun = True
            began = time.monotonic()
            for envelope in chain(first, envelopes):
                so_far.envelope = envelope
                target.take(replace(envelope, replay_id=replay_id))
                so_far.envelope = None
                so_far.events += 1
                progress(so_far.events)
                if events_per_second:
                    time.sleep(max(0.0, began + so_far.events / events_per_second - time.monotonic()))
            target.end()
        except (Exception, KeyboardInterrupt) as error:
            envelopes.close()
            is_told = _told_of_interruption(facts, so_far, error, now=clock())
            raise ReplayCutShort(_sentence(so_far, error, target, is_told=is_told)) from error
    _publish(EventsReplayed(**facts, events=so_far.events, ended_at=clock()), now=clock())
    return Replayed(replay_id, so_far.events)


def _publish(event: Event, *, now: datetime) -> None:
    with transaction.atomic():
        publish(event, now=now)


def _told_of_interruption(facts: dict[str, Any], so_far: _Progress, error: BaseException, *, now: datetime) -> bool:
    """Whether the audit log has it now: PostgreSQL may be what has failed."""
    event = ReplayInterrupted(
        **facts,
        events=so_far.events,
        reason=type(error).__name__,
        event_id=so_far.envelope.event_id if so_far.envelope else None,
        interrupted_at=now,
    )
    connection.close_if_unusable_or_obsolete()
    try:
        _publish(event, now=now)
    except Error:
        return False
    return True


def _sentence(so_far: _Progress, error: BaseException, target: Target, *, is_told: bool) -> str:
    if isinstance(error, KeyboardInterrupt):
        cause = "The replay was stopped by Ctrl-C."
    elif so_far.envelope is not None:
        envelope, place = so_far.envelope, f"{so_far.envelope.aggregate_type}:{so_far.envelope.aggregate_id}"
        cause = (
            f"{envelope.event_type} {envelope.event_id} ({place} #{envelope.aggregate_seq}) could not be replayed: "
            f"{type(error).__name__}: {error}."
        )
    else:
        cause = f"The replay could not go on: {type(error).__name__}: {error}."
    return " ".join(
        part
        for part in (
            cause,
            f"{so_far.events} events were replayed before.",
            target.left_by_interruption if so_far.has_begun else "",
            "" if is_told else "The audit log says that it began, not that it ended: PostgreSQL does not answer.",
        )
        if part
    )
