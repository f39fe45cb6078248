"""A wait that ends also where the clock is set back meanwhile."""

from collections.abc import Callable
from datetime import datetime, timedelta


class Patience:
    """How long to go on waiting, by a clock of the day. Time that runs backwards ends the wait."""

    def __init__(self, clock: Callable[[], datetime], limit: timedelta) -> None:
        self._clock = clock
        self._began = clock()
        self._limit = limit

    def is_over(self) -> bool:
        return not timedelta(0) <= self._clock() - self._began < self._limit
