"""Aggregates for the market data endpoints: bars, day windows, trades. None looks beyond the current step."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from apps.paper.market import path
from apps.paper.market.candles import Candle
from apps.paper.market.path import STEPS
from apps.paper.market.replay import Replay

COMMITTED_BARS = 720
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Bar:
    """A candle of any interval with its volume-weighted average price (an estimate: files do not record it)."""

    time: int
    open: int
    high: int
    low: int
    close: int
    average: int
    volume: int
    trades: int


@dataclass(frozen=True, slots=True)
class Print:
    """A trade of the replayed market, one a step. `time` is wall time; `rising` means that the buyer was the taker."""

    number: int
    price: int
    volume: int
    time: datetime
    rising: bool


def bars(replay: Replay, step: int, *, ended: bool, interval_minutes: int, since: int) -> tuple[list[Bar], int]:
    """At most 720 closed bars and the forming one, after `since` (Unix second), and the time of the last closed bar.

    `interval_minutes` is a multiple of the series' own. Source of the counts and of `last`: Kraken's OHLC endpoint.
    """
    seconds = interval_minutes * 60
    now_candle = replay.candle_of(step)
    first_time = now_candle.time // seconds * seconds - COMMITTED_BARS * seconds
    first = replay.series.first_at_or_after(max(first_time, (since // seconds + 1) * seconds if since >= 0 else 0))
    rows: list[Bar] = []
    if first <= step // STEPS:
        seen = replay.seen(first, step, ended=ended)
        averaged = _averaged(replay, seen, step, ended)
        rows = [
            _merged(time, group) for time, group in groupby(averaged, key=lambda bar: bar.time // seconds * seconds)
        ]
    # A bar is closed when its whole interval has passed.
    market_now = now_candle.time + (replay.series.interval_seconds if ended else 0)
    closed_before = market_now // seconds * seconds
    closed = sum(row.time < closed_before for row in rows)
    last_closed = replay.series.times[max(0, replay.series.first_at_or_after(closed_before) - 1)] // seconds * seconds
    return rows[max(0, closed - COMMITTED_BARS) :], last_closed


def _averaged(replay: Replay, seen: Iterable[Candle], step: int, ended: bool) -> Iterator[Bar]:
    forming_time = replay.candle_of(step).time
    for candle in seen:
        is_forming = candle.time == forming_time and not ended
        average = path.average_price(replay.candle_of(step), step % STEPS) if is_forming else path.average_price(candle)
        yield Bar(
            candle.time, candle.open, candle.high, candle.low, candle.close, average, candle.volume, candle.trades
        )


def _merged(time: int, group: Iterable[Bar]) -> Bar:
    parts = list(group)
    volume = sum(bar.volume for bar in parts)
    return Bar(
        time=time,
        open=parts[0].open,
        high=max(bar.high for bar in parts),
        low=min(bar.low for bar in parts),
        close=parts[-1].close,
        average=sum(bar.average * bar.volume for bar in parts) // volume if volume else 0,
        volume=volume,
        trades=sum(bar.trades for bar in parts),
    )


def day_windows(replay: Replay, step: int) -> tuple[Bar, Bar]:
    """Today since 00:00 UTC and the last 24 hours, both in market time."""
    now = replay.market_time_at(step)
    current = step // STEPS
    windows = []
    for begin in (now // _DAY_SECONDS * _DAY_SECONDS, now - _DAY_SECONDS):
        first = min(replay.series.first_at_or_after(begin), current)
        windows.append(_merged(begin, _averaged(replay, replay.seen(first, step), step, ended=False)))
    return windows[0], windows[1]


def prints(replay: Replay, step: int, *, since: datetime | None, count: int) -> list[Print]:
    """The market's trades up to now, oldest first: the last `count`, or the first `count` after `since`."""
    if since is None:
        first = step - count + 1
    else:
        first = max(replay.clock.start_step, replay.clock.step_at(since) + 1)
        step = min(step, first + count - 1)
    found = []
    for number in range(max(0, first), step + 1):
        volume = replay.volume_at(number)
        if volume:
            price = replay.price_at(number)
            rising = number > 0 and price >= replay.price_at(number - 1)
            found.append(Print(number, price, volume, replay.time_of(number), rising))
    return found
