"""Exponential back-off with a cap: how long to wait before a failed operation is tried again.

There is no jitter: each caller is one process or one row, so no crowd of clients retries at the same moment.
"""

FIRST_SECONDS = 0.5
MAX_SECONDS = 5.0

# 2.0 ** 1024 overflows, and the cap has been reached long before this many doublings.
_MAX_DOUBLINGS = 64


def delay_seconds(failures: int, *, first_seconds: float, max_seconds: float) -> float:
    """The delay after so many failures in a row (1 or more): `first_seconds`, doubled with each, up to the cap."""
    doublings = min(max(failures, 1) - 1, _MAX_DOUBLINGS)
    return min(first_seconds * 2.0**doublings, max_seconds)


class Backoff:
    """Counts the failures in a row of one operation. It reads no clock and does not sleep."""

    def __init__(self, *, first_seconds: float = FIRST_SECONDS, max_seconds: float = MAX_SECONDS) -> None:
        self._first_seconds = first_seconds
        self._max_seconds = max_seconds
        self.failures = 0

    def failed(self) -> float:
        """Counts a failure. Returns the seconds to wait before the next attempt."""
        self.failures += 1
        return delay_seconds(self.failures, first_seconds=self._first_seconds, max_seconds=self._max_seconds)

    def succeeded(self) -> int:
        """Starts again from the first delay. Returns how many attempts in a row had failed before."""
        failures, self.failures = self.failures, 0
        return failures
