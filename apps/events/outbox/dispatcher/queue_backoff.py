"""Queues that take nothing at the moment, each tried again after a while."""

import time
from collections.abc import Iterable

import structlog

logger = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0


class QueueBackoff:
    def __init__(self) -> None:
        self._until: dict[str, tuple[float, float, str]] = {}

    def add(self, queues: Iterable[str], reason: str) -> None:
        for queue in queues:
            _, before, _ = self._until.get(queue, (0.0, FIRST_PAUSE_SECONDS / 2, ""))
            seconds = min(before * 2, LONGEST_PAUSE_SECONDS)
            self._until[queue] = (time.monotonic() + seconds, seconds, reason)
            logger.warning("queue_paused", queue=queue, reason=reason, next_try_in_seconds=seconds)

    def clear(self, queues: Iterable[str]) -> None:
        """These queues take messages again, unless something else of the same wave was refused."""
        for queue in queues:
            if queue in self._until and self._until[queue][0] <= time.monotonic():
                del self._until[queue]

    def names(self) -> tuple[str, ...]:
        now = time.monotonic()
        return tuple(sorted(queue for queue, (until, _, _) in self._until.items() if until > now))

    def detail(self) -> str:
        return " ".join(f"{queue}: {reason}" for queue, (_, _, reason) in sorted(self._until.items()))
