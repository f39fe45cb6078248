"""Candles in memory: integers in arrays, about 60 bytes a candle."""

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

from apps.paper.instruments import Pair


class Candle(NamedTuple):
    """One candle. `time` is the Unix second at which it opens; prices in ticks, volume in lots of the pair."""

    time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int


@dataclass(frozen=True, slots=True)
class CandleSeries:
    """A market's recorded or generated candles, oldest first. Times rise strictly on the interval's grid.

    `fingerprint` identifies the series: a replay clock is valid only for the series that it was started for.
    """

    pair: Pair
    interval_minutes: int
    source: str
    synthetic: bool
    fingerprint: str
    times: "array[int]"
    opens: "array[int]"
    highs: "array[int]"
    lows: "array[int]"
    closes: "array[int]"
    volumes: "array[int]"
    trades: "array[int]"

    def __len__(self) -> int:
        return len(self.times)

    def candle(self, index: int) -> Candle:
        return Candle(
            self.times[index],
            self.opens[index],
            self.highs[index],
            self.lows[index],
            self.closes[index],
            self.volumes[index],
            self.trades[index],
        )

    @property
    def interval_seconds(self) -> int:
        return self.interval_minutes * 60

    def first_at_or_after(self, time: int) -> int:
        """Index of the first candle that opens at `time` (Unix seconds) or later."""
        return bisect_left(self.times, time)
