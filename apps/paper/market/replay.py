"""Replay position: a pure function of the wall clock, so that all processes agree, also after a restart.

There are two time scales. Market time is when a candle was recorded; wall time is the present. Orders, trades and
deadlines use wall time, candles use market time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.paper.market import path
from apps.paper.market.candles import Candle, CandleSeries
from apps.paper.market.path import STEPS

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """Started at `started_at` (aware UTC) on the step `start_step`; a candle lasts `candle_seconds` of wall time."""

    started_at: datetime
    start_step: int
    candle_seconds: float

    @property
    def _candle_microseconds(self) -> int:
        return max(STEPS, round(self.candle_seconds * 1_000_000))

    def step_at(self, now: datetime) -> int:
        """Steps since the series' first candle. A time before the start gives the start step."""
        elapsed = (now - self.started_at) // _MICROSECOND
        return self.start_step + max(0, elapsed) * STEPS // self._candle_microseconds

    def time_of(self, step: int) -> datetime:
        """The first moment of the step, in wall time."""
        microseconds = -(-(step - self.start_step) * self._candle_microseconds // STEPS)
        return self.started_at + timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True)
class Replay:
    """A candle series with its replay clock."""

    series: CandleSeries
    clock: ReplayClock

    @property
    def last_step(self) -> int:
        return len(self.series) * STEPS - 1

    def step_at(self, now: datetime) -> int:
        return min(self.clock.step_at(now), self.last_step)

    def has_ended(self, now: datetime) -> bool:
        return self.clock.step_at(now) > self.last_step

    def time_of(self, step: int) -> datetime:
        return self.clock.time_of(step)

    @property
    def ends_at(self) -> datetime:
        return self.clock.time_of(self.last_step + 1)

    def candle_of(self, step: int) -> Candle:
        return self.series.candle(step // STEPS)

    def price_at(self, step: int) -> int:
        """The market's price at a step, in ticks."""
        return path.price_at(self.candle_of(step), step % STEPS)

    def volume_at(self, step: int) -> int:
        """The market's traded volume in the step, in lots."""
        return path.volume_at(self.candle_of(step), step % STEPS)

    def market_time_at(self, step: int) -> int:
        """Market time as a Unix second."""
        return self.candle_of(step).time + self.series.interval_seconds * (step % STEPS) // STEPS

    def seen(self, first: int, step: int, *, ended: bool = False) -> Iterator[Candle]:
        """Candles from index `first` as known at `step`: closed candles, then the forming one up to the step."""
        current = step // STEPS
        for index in range(first, current):
            yield self.series.candle(index)
        yield self.series.candle(current) if ended else path.forming(self.series.candle(current), step % STEPS)
