"""One partition's share of the work: what is to be handled next, and when to try again."""

import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from apps.events.consumers.inbound import Arrival

# Between the attempts at one event; after the last attempt it is set aside.
PAUSES_SECONDS = (0.5, 2.0)
ATTEMPTS = 1 + len(PAUSES_SECONDS)
# While the breaker is open, or what fails is not the event's fault.
LONG_PAUSE_SECONDS = 15.0


@dataclass
class Partition:
    """Events are handled in their order; one that fails holds up its own partition and no other."""

    pending: deque[Arrival] = field(default_factory=deque)
    attempts: int = 0
    due_at: float = 0.0
    # Up to this offset events are handled one at a time: a batch with them failed.
    alone_until: int = -1
    # The offset after the last handled event; None before the first.
    position: int | None = None
    committed: int | None = None

    @property
    def is_due(self) -> bool:
        return bool(self.pending) and time.monotonic() >= self.due_at

    @property
    def seconds_until_due(self) -> float:
        return max(0.0, self.due_at - time.monotonic())

    @property
    def next(self) -> Arrival:
        return self.pending[0]

    def first(self, count: int) -> list[Arrival]:
        """The next events that may be handled together; empty where the next one has to be handled alone."""
        if self.attempts or self.next.offset <= self.alone_until:
            return []
        return list(islice(self.pending, count))

    def done(self, count: int = 1) -> None:
        """The next `count` events need no more attention."""
        for _ in range(count):
            self.position = self.pending.popleft().offset + 1
        self.attempts = 0
        self.due_at = 0.0

    def failed(self) -> None:
        """The next event is tried again after a pause, longer each time."""
        self.attempts += 1
        pause = PAUSES_SECONDS[min(self.attempts, len(PAUSES_SECONDS)) - 1]
        self.due_at = time.monotonic() + pause

    def hold(self) -> None:
        self.due_at = time.monotonic() + LONG_PAUSE_SECONDS

    @property
    def needs_commit(self) -> bool:
        return self.position is not None and self.position != self.committed
