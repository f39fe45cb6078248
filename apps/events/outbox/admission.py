"""Decides what may not pass: keys that are parked, and everything while the breaker is open."""

from uuid import UUID

import structlog

from apps.events.outbox import metrics, parking
from apps.events.outbox.parking import Poison
from apps.events.process.circuit_breaker import CircuitBreaker

logger = structlog.get_logger(__name__)


class Admission:
    """Of one transport, in one process."""

    def __init__(self, transport: str) -> None:
        self.parked: set[UUID] = set()
        self._transport = transport
        self._breaker = CircuitBreaker()

    @property
    def is_shut(self) -> bool:
        """Too many messages in a row cannot be sent: the sender stops rather than park them all."""
        return self._breaker.is_open

    @property
    def detail(self) -> str:
        if self.is_shut:
            return "Stopped: too many messages in a row cannot be sent. See the log."
        return f"{len(self.parked)} keys are parked: see manage.py parked_keys list." if self.parked else ""

    def look(self) -> bool:
        """Reads anew which keys are parked; whether one was released since. Raises DatabaseError."""
        before, self.parked = self.parked, parking.parked_keys(self._transport)
        metrics.parked_keys.labels(self._transport).set(len(self.parked))
        return bool(before - self.parked)

    def passed(self, count: int) -> None:
        """So many messages were sent."""
        self._breaker.succeeded(count)
        metrics.breaker_open.labels(self._transport).set(0)

    def park(self, poison: list[Poison], *, of: int) -> bool:
        """Parks the keys of what can never be sent. False, and nothing is parked, where that would be too much.

        Raises DatabaseError.
        """
        first_of_key = {each.key: each for each in reversed(poison)}
        was_shut = self.is_shut
        may_park = self._breaker.may_give_up(len(first_of_key), of=of)
        metrics.breaker_open.labels(self._transport).set(0 if may_park else 1)
        if not may_park:
            log = logger.warning if was_shut else logger.critical
            log(
                "Sending stops: too many messages in a row cannot be sent, so the fault is not theirs. They wait in "
                "the outbox, in order. Find the cause (is the topology declared?) and sending goes on by itself.",
                transport=self._transport,
                example=poison[0].detail,
                reason=poison[0].reason,
            )
            return False
        for each in reversed(first_of_key.values()):
            parking.park(each, transport=self._transport)
            metrics.parked.labels(self._transport, each.reason).inc()
            self.parked.add(each.key)
        self._breaker.gave_up(len(first_of_key))
        return True
