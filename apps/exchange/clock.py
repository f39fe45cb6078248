"""How far our clock is from an exchange's. The exchange reads the deadlines of orders by its own clock.

Kraken tells its time in whole seconds (`/0/public/Time`). So one answer bounds the difference to a second and the time
that the call took; several answers, at different parts of the second, bound it more closely.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from apps.core.terms import Mode
from apps.exchange.models import ExchangeClock
from apps.exchange.port import MarketData

# Above ALERT_SECONDS a person is told; above LIMIT_SECONDS no purchase is made. Kraken takes no order whose deadline is
# less than 2 s ahead; ours are 5 s ahead, and leave with 3 s or more.
ALERT_SECONDS = 1.0
LIMIT_SECONDS = 3.0

SAMPLES = 10
# Of a host that has stopped measuring
KEPT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Offset:
    """Our time minus the exchange's, in seconds: not below `low` and not above `high`."""

    low: float
    high: float

    @property
    def estimate(self) -> float:
        return (self.low + self.high) / 2

    @property
    def certain(self) -> float:
        """What the clocks differ by at least; positive where ours is ahead, 0 where they may agree."""
        return max(self.low, 0.0) + min(self.high, 0.0)

    def narrowed(self, other: "Offset") -> "Offset | None":
        """What both allow; None where they contradict each other, because a clock has been set."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Offset(low, high) if low <= high else None


def offset_measure(
    market: MarketData, *, clock: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic
) -> Offset:
    """Asks the exchange for its time once. Raises what the port's market data raises."""
    asked_at, began = clock(), monotonic()
    told = market.server_time()
    took = monotonic() - began
    behind = (asked_at - told).total_seconds()
    # It read its clock during the call, and told the second that was running.
    return Offset(behind - 1.0, behind + took)


def offset_of(samples: list[Offset]) -> Offset:
    """What the latest samples allow together; the newest first contradiction ends the look back."""
    *earlier, offset = samples
    for sample in reversed(earlier):
        narrowed = offset.narrowed(sample)
        if narrowed is None:
            break
        offset = narrowed
    return offset


def offset_record(*, mode: Mode, offset: Offset, now: datetime) -> None:
    """Stores the difference that this host measured."""
    ExchangeClock.objects.update_or_create(
        mode=mode,
        host=socket.gethostname(),
        defaults={"low_seconds": offset.low, "high_seconds": offset.high, "measured_at": now},
    )
    ExchangeClock.objects.filter(measured_at__lt=now - KEPT).delete()


def offset_beyond_limit(*, mode: Mode, now: datetime) -> Offset | None:
    """The difference that a host measured lately and that is certainly beyond LIMIT_SECONDS, or None."""
    rows = ExchangeClock.objects.filter(mode=mode, measured_at__gte=now - KEPT)
    row = rows.filter(Q(low_seconds__gt=LIMIT_SECONDS) | Q(high_seconds__lt=-LIMIT_SECONDS)).first()
    return None if row is None else Offset(row.low_seconds, row.high_seconds)
