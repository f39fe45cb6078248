"""State of one assigned partition: pending records, retry timing, and the offset to commit."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from apps.events.consumers.inbound import InboundRecord

# Delays between the attempts at one event. After the last attempt it is dead-lettered.
RETRY_DELAYS_SECONDS = (0.5, 2.0)
MAX_ATTEMPTS = 1 + len(RETRY_DELAYS_SECONDS)
# Delay before the next attempt while the circuit breaker is open.
HALT_SECONDS = 15.0


@dataclass
class Partition:
    """Records are handled in offset order. One that fails delays its own partition and no other.

    `clock` gives seconds that never jump; `due_at` is on it.
    """

    clock: Callable[[], float] = time.monotonic
    pending: deque[InboundRecord] = field(default_factory=deque)
    attempts: int = 0
    due_at: float = 0.0
    # Records up to this offset are handled one at a time, because a batch that contained them failed.
    single_until: int = -1
    # Offset after the last handled record; None before the first.
    position: int | None = None
    committed: int | None = None

    @property
    def is_due(self) -> bool:
        return bool(self.pending) and self.clock() >= self.due_at

    @property
    def seconds_until_due(self) -> float:
        return max(0.0, self.due_at - self.clock())

    @property
    def next(self) -> InboundRecord:
        return self.pending[0]

    def first(self, count: int) -> list[InboundRecord]:
        """The next records that may be handled as a batch; empty if the next one has to be handled alone."""
        if self.attempts or self.next.offset <= self.single_until:
            return []
        return list(islice(self.pending, count))

    def done(self, count: int = 1) -> None:
        """Removes the next `count` records, which are handled, skipped or dead-lettered."""
        for _ in range(count):
            self.position = self.pending.popleft().offset + 1
        self.attempts = 0
        self.due_at = 0.0

    def failed(self) -> None:
        """Schedules the retry of the next record, with a longer delay each time."""
        self.attempts += 1
        delay = RETRY_DELAYS_SECONDS[min(self.attempts, len(RETRY_DELAYS_SECONDS)) - 1]
        self.due_at = self.clock() + delay

    def halt(self) -> None:
        """Schedules the next attempt without counting one: the circuit breaker is open."""
        self.due_at = self.clock() + HALT_SECONDS

    @property
    def needs_commit(self) -> bool:
        return self.position is not None and self.position != self.committed
