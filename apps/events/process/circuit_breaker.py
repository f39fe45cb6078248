"""Circuit breaker over event failures: one bad event is set aside; a fault that fails most events stops the process."""

from collections import deque

MAX_CONSECUTIVE = 10
MAX_PART = 0.5
# With fewer outcomes than this, MAX_PART is not applied: a part of so few says nothing.
MIN_OUTCOMES = 20
REMEMBERED_OUTCOMES = 100


class CircuitBreaker:
    """Ask `may_give_up` before an event is set aside, then report `gave_up` or `succeeded`."""

    def __init__(self, *, max_consecutive: int = MAX_CONSECUTIVE, max_part: float = MAX_PART) -> None:
        self._max_consecutive = max_consecutive
        self._max_part = max_part
        self._consecutive = 0
        self._given_up: deque[bool] = deque(maxlen=REMEMBERED_OUTCOMES)
        self.is_open = False

    def may_give_up(self, count: int = 1, *, of: int = 1) -> bool:
        """Whether `count` of a batch of `of` events may be set aside. If not, the breaker opens: the caller stops."""
        outcomes = len(self._given_up) + of
        part = (sum(self._given_up) + count) / outcomes
        too_many = outcomes >= MIN_OUTCOMES and part > self._max_part
        self.is_open = too_many or self._consecutive + count >= self._max_consecutive
        return not self.is_open

    def gave_up(self, count: int = 1) -> None:
        self._consecutive += count
        self._given_up.extend([True] * count)

    def succeeded(self, count: int = 1) -> None:
        """Closes the breaker."""
        self._consecutive = 0
        self._given_up.extend([False] * min(count, REMEMBERED_OUTCOMES))
        self.is_open = False
