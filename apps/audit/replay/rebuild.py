"""Rebuilds a projection without downtime: readers see the live model until one transaction replaces its rows."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from uuid import UUID

from django.db import transaction

from apps.audit.filters import EventFilter
from apps.audit.replay import sources
from apps.audit.replay.shadow import Shadow
from apps.audit.replay.targets import Target
from apps.events.consumers.delivery import batch_handler_of, deliver, deliver_batch
from apps.events.consumers.projections import Projection
from apps.events.consumers.registry import load_consumers, registrations_for
from apps.messages.envelope import Envelope

# Catch-up rounds run until at most so many events are missed; these are applied while the consumers are paused.
_LEFT_FOR_THE_END = 500
_ROUNDS = 10


class Rebuild(Target):
    """Rebuilds a projection from scratch: its handlers take the events again, without their outside effects.

    The source gives the stored events. Events that the consumers handled since are found by their inbox, not by time:
    an event whose transaction commits late is either in the inbox by then, or its consumer delivers it afterwards.
    """

    events_at_once = 500

    def __init__(self, projection: Projection) -> None:
        self.name = f"projection {projection.name}"
        self.left_by_interruption = (
            f"The projection {projection.name} is as it was before: run the command again once the cause is removed."
        )
        # The number of live rows that differed from the rebuilt ones.
        self.differed = 0
        self._group = projection.group
        self._handled = _handled_by(projection)
        self._shadow = Shadow(projection)
        self._in_no_store: set[UUID] = set()

    @property
    def filters(self) -> EventFilter:
        """Matches at least the events that the handlers take."""
        return EventFilter(event_types=tuple(sorted({event_type for event_type, _ in self._handled})))

    def only_handled(self, envelopes: Generator[Envelope, None, None]) -> Generator[Envelope, None, None]:
        """Drops the events that no handler takes."""
        with closing(envelopes):
            yield from (envelope for envelope in envelopes if self._takes(envelope))

    def prepare(self) -> None:
        """Raises RebuildUnderWay."""
        self._shadow.open()

    def take(self, envelopes: Sequence[Envelope]) -> None:
        with transaction.atomic():
            self._shadow.refuse_live_tables()
            for handler, run in groupby(envelopes, key=lambda envelope: batch_handler_of(envelope, group=self._group)):
                if handler is not None:
                    deliver_batch(list(run), group=self._group)
                    continue
                for envelope in run:
                    deliver(envelope, group=self._group)

    def catch_up(self) -> Iterator[Sequence[Envelope]]:
        self._shadow.analyze()
        for _ in range(_ROUNDS):
            missed = self._missed()
            if len(missed) <= _LEFT_FOR_THE_END:
                return
            yield missed

    @contextmanager
    def ending(self) -> Iterator[Sequence[Envelope]]:
        """Raises ConsumersDoNotPause."""
        with self._shadow.consumers_paused():
            yield self._missed()
            self.differed = self._shadow.take_over()

    def close(self) -> None:
        self._shadow.close()

    def _missed(self) -> list[Envelope]:
        event_ids = self._shadow.missed() - self._in_no_store
        stored = [envelope for envelope in sources.stored(event_ids) if self._takes(envelope)]
        # These were handled before a restore or by a removed handler: the store has no event to apply.
        self._in_no_store |= event_ids - {envelope.event_id for envelope in stored}
        return stored

    def _takes(self, envelope: Envelope) -> bool:
        return (envelope.event_type, envelope.schema_version) in self._handled


def _handled_by(projection: Projection) -> set[tuple[str, int]]:
    load_consumers()
    registrations = registrations_for(projection.group)
    return {identity for identity, each in registrations.items() if not each.has_outside_effects}
