"""Rate limit for the log of kafka-python, which repeats the same lines at every attempt during an outage."""

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
    """Passes each log statement of the library once per interval, whatever its arguments are."""

    def __init__(self, seconds: float = SECONDS_BETWEEN_REPEATS) -> None:
        super().__init__()
        self._seconds = seconds
        self._passed_at: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        # Identified by source line, because some of the library's messages contain ports and times.
        place = (record.pathname, record.lineno)
        now = time.monotonic()
        if now - self._passed_at.get(place, float("-inf")) < self._seconds:
            return False
        self._passed_at[place] = now
        return True


def limit_repeats() -> None:
    """Installs the filters in this process. Idempotent."""
    for name in _NOISY:
        logger = logging.getLogger(name)
        if not any(isinstance(each, OncePerInterval) for each in logger.filters):
            logger.addFilter(OncePerInterval())
