"""Runs one replay: rate-limited, counted, and recorded in the audit log before its first event."""

import time
from collections.abc import Callable, Generator, Iterable
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
from apps.events.process.run_loop import DATABASE_ERRORS
from apps.events.store.publish import publish
from apps.messages.audit import EventsReplayed, ReplayInterrupted, ReplayStarted
from apps.messages.base import Event
from apps.messages.envelope import Envelope


class ReplayCutShort(PlatformError):
    """A replay was interrupted after it had begun."""

    code = "replay_cut_short"
    http_status = 500


@dataclass(frozen=True)
class Replayed:
    replay_id: UUID
    events: int


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

    Publishes `audit.replay.started` before the first event, and `audit.replayed` after the last. If the source cannot
    be read or the target refuses, their error is raised before anything is published or changed. A later failure, or
    Ctrl-C, is published as `audit.replay.interrupted` and raised as ReplayCutShort, whose message says at which event
    it stopped and what remains to be done.
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
    hand_over = _HandOver(target, replay_id, events_per_second, progress)
    with closing(target), closing(envelopes):
        target.prepare()
        first = list(islice(envelopes, 1))
        _publish(ReplayStarted(**facts), now=started_at)
        try:
            target.begin()
            hand_over.begin()
            hand_over.all_of(chain(first, envelopes))
            for more in target.catch_up():
                hand_over.all_of(more)
            with target.ending() as rest:
                hand_over.all_of(rest, paced=False)
                _publish(EventsReplayed(**facts, events=hand_over.events, ended_at=clock()), now=clock())
        except (Exception, KeyboardInterrupt) as error:
            envelopes.close()
            is_told = _told_of_interruption(facts, hand_over, error, now=clock())
            raise ReplayCutShort(_sentence(hand_over, error, target, is_told=is_told)) from error
    return Replayed(replay_id, hand_over.events)


class _HandOver:
    """Hands events to the target in batches, and tracks the progress and the event in hand."""

    def __init__(
        self, target: Target, replay_id: UUID, events_per_second: float | None, progress: Callable[[int], None]
    ) -> None:
        self.has_begun = False
        self.events = 0
        self.envelope: Envelope | None = None
        self._target = target
        self._replay_id = replay_id
        self._events_per_second = events_per_second
        self._progress = progress
        self._began = 0.0

    def begin(self) -> None:
        self.has_begun, self._began = True, time.monotonic()

    def all_of(self, envelopes: Iterable[Envelope], *, paced: bool = True) -> None:
        rate = self._events_per_second if paced else None
        left = iter(envelopes)
        while batch := list(islice(left, 1 if rate else self._target.events_at_once)):
            self._give([replace(envelope, replay_id=self._replay_id) for envelope in batch])
            if rate:
                time.sleep(max(0.0, self._began + self.events / rate - time.monotonic()))

    def _give(self, batch: list[Envelope]) -> None:
        self.envelope = batch[0] if len(batch) == 1 else None
        try:
            self._target.take(batch)
        except DATABASE_ERRORS:
            raise
        except Exception:
            if len(batch) == 1:
                raise
            # The target took none of the batch. One by one, the event that fails is identified.
            for envelope in batch:
                self._give([envelope])
            return
        self.envelope = None
        self.events += len(batch)
        self._progress(self.events)


def _publish(event: Event, *, now: datetime) -> None:
    with transaction.atomic():
        publish(event, now=now)


def _told_of_interruption(facts: dict[str, Any], so_far: _HandOver, error: BaseException, *, now: datetime) -> bool:
    """Publishes the interruption. Returns False if PostgreSQL, which may be the cause, does not take it."""
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


def _sentence(so_far: _HandOver, error: BaseException, target: Target, *, is_told: bool) -> str:
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
