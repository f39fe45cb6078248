"""Admission: which rows may be sent. Parked keys are held back, and an open circuit breaker stops all sending."""

from uuid import UUID

import structlog

from apps.events.outbox import metrics, parking
from apps.events.outbox.parking import Poison
from apps.events.process.circuit_breaker import CircuitBreaker

logger = structlog.get_logger(__name__)


class Admission:
    """Parked keys and circuit breaker of one transport, in one process."""

    def __init__(self, transport: str) -> None:
        self.parked: set[UUID] = set()
        self._transport = transport
        self._breaker = CircuitBreaker()

    @property
    def is_stopped(self) -> bool:
        """Whether the circuit breaker is open: too many messages in a row cannot be sent to park them all."""
        return self._breaker.is_open

    @property
    def detail(self) -> str:
        if self.is_stopped:
            return "Stopped: too many messages in a row cannot be sent. See the log."
        return f"{len(self.parked)} keys are parked: see manage.py parked_keys list." if self.parked else ""

    def refresh(self) -> bool:
        """Reads the parked keys. Returns whether one was released since the last call. Raises DatabaseError."""
        before, self.parked = self.parked, parking.parked_keys(self._transport)
        metrics.parked_keys.labels(self._transport).set(len(self.parked))
        return bool(before - self.parked)

    def sent(self, count: int) -> None:
        """Reports that the broker has confirmed `count` messages. Closes the circuit breaker."""
        self._breaker.succeeded(count)
        metrics.breaker_open.labels(self._transport).set(0)

    def park(self, poison: list[Poison], *, of: int) -> bool:
        """Parks the keys of messages that can never be sent, out of a batch of `of`.

        Returns False, with nothing parked, if that opens the circuit breaker. Raises DatabaseError.
        """
        first_of_key = {each.key: each for each in reversed(poison)}
        was_stopped = self.is_stopped
        may_park = self._breaker.may_give_up(len(first_of_key), of=of)
        metrics.breaker_open.labels(self._transport).set(0 if may_park else 1)
        if not may_park:
            log = logger.warning if was_stopped else logger.critical
            log(
                "sending_stopped",
                transport=self._transport,
                example=poison[0].detail,
                reason=poison[0].reason,
                advice="Too many messages in a row cannot be sent, so the fault is not theirs. They wait in the outbox "
                "in order. Find the cause (is the topology declared?) and sending goes on by itself.",
            )
            return False
        for each in reversed(first_of_key.values()):
            parking.park(each, transport=self._transport)
            metrics.parked.labels(self._transport, each.reason).inc()
            self.parked.add(each.key)
        self._breaker.gave_up(len(first_of_key))
        return True
