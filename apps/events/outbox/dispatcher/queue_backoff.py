"""Back-off per queue: a queue that refuses messages is paused, each time longer."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from apps.events.process.backoff import Backoff

logger = structlog.get_logger(__name__)


@dataclass
class _Pause:
    backoff: Backoff = field(default_factory=Backoff)
    until: float = 0.0
    reason: str = ""


class QueueBackoff:
    """The paused queues of one dispatcher. `clock` is monotonic."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pauses: dict[str, _Pause] = {}

    def refused(self, queues: Iterable[str], reason: str) -> None:
        """Pauses these queues."""
        for queue in queues:
            pause = self._pauses.setdefault(queue, _Pause())
            seconds = pause.backoff.failed()
            pause.until, pause.reason = self._clock() + seconds, reason
            logger.warning("queue_paused", queue=queue, reason=reason, next_try_in_seconds=seconds)

    def accepted(self, queues: Iterable[str]) -> None:
        """Forgets the failures of these queues, except of one that is paused: it refused another message since."""
        for queue in queues:
            if queue in self._pauses and self._pauses[queue].until <= self._clock():
                del self._pauses[queue]

    def paused(self) -> tuple[str, ...]:
        now = self._clock()
        return tuple(sorted(queue for queue, pause in self._pauses.items() if pause.until > now))

    def detail(self) -> str:
        """A sentence for each queue that refused its last message."""
        return " ".join(f"{queue}: {pause.reason}" for queue, pause in sorted(self._pauses.items()))
