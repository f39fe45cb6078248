"""The library's log, thinned: during an outage it says the same five lines at every attempt, for every client."""

import logging
import time

SECONDS_BETWEEN_REPEATS = 30.0

_NOISY = (
    "kafka.cluster",
    "kafka.consumer.fetcher",
    "kafka.coordinator",
    "kafka.coordinator.consumer",
    "kafka.coordinator.heartbeat",
    "kafka.net.connection",
    "kafka.net.manager",
    "kafka.net.selector",
    "kafka.net.transport",
    "kafka.producer.sender",
)


class OncePerInterval(logging.Filter):
    """Lets each message of a logger pass once in a while, whatever values it is filled with."""

    def __init__(self, seconds: float = SECONDS_BETWEEN_REPEATS) -> None:
        super().__init__()
        self._seconds = seconds
        self._passed_at: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # By place, not by text: some of the library's texts hold ports and times.
        place = (record.pathname, record.lineno)
        now = time.monotonic()
        if now - self._passed_at.get(place, float("-inf")) < self._seconds:
            return False
        self._passed_at[place] = now
        return True


def thin_out() -> None:
    """Once a process; doing it again changes nothing."""
    for name in _NOISY:
        logger = logging.getLogger(name)
        if not any(isinstance(each, OncePerInterval) for each in logger.filters):
            logger.addFilter(OncePerInterval())
