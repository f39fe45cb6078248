"""Synthetic order book around the market's price.

Recorded candles have no order book. This one is a deterministic function of the replay: a fixed spread, a hundred
levels a side, sizes from the volume of the previous candle (the current one's is not known yet). Liquidity that takers
removed is missing until the next candle. Levels are consumed from the best outwards, so one number a side is enough to
know what is left.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from apps.paper.market.path import STEPS
from apps.paper.market.replay import Replay

LEVELS = 100
_HALF_SPREAD = 20_000  # the best level is price/20000 away: a spread of one basis point
_GAP = 10_000  # levels follow one another by price/10000
_MASK = (1 << 64) - 1


class Level(NamedTuple):
    """Price in ticks, volume in lots."""

    price: int
    volume: int


@dataclass(frozen=True, slots=True)
class Taken:
    """Lots that takers have taken from each side of the book in the candle with this index."""

    candle: int = -1
    asks: int = 0
    bids: int = 0

    def within(self, candle: int) -> "Taken":
        """The liquidity taken in that candle: none if it is a new one, because a new candle refills the book."""
        return self if self.candle == candle else Taken(candle)


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Both sides, best level first, without the liquidity that was taken."""

    asks: tuple[Level, ...]
    bids: tuple[Level, ...]


def order_book_at(replay: Replay, step: int, taken: Taken) -> OrderBook:
    candle = step // STEPS
    taken = taken.within(candle)
    return OrderBook(
        asks=tuple(_left(_levels(replay, step, side=1), taken.asks)),
        bids=tuple(_left(_levels(replay, step, side=-1), taken.bids)),
    )


def best_prices_at(replay: Replay, step: int) -> tuple[int, int]:
    """Best bid and ask in ticks of the full order book, also if their levels have no volume."""
    price = replay.price_at(step)
    half_spread = max(1, price // _HALF_SPREAD)
    return max(1, price - half_spread), price + half_spread


def _levels(replay: Replay, step: int, side: int) -> Iterator[Level]:
    price = replay.price_at(step)
    known = replay.series.candle(max(0, step // STEPS - 1))
    best = best_prices_at(replay, step)[1 if side > 0 else 0]
    gap = max(1, price // _GAP)
    mark = known.time * 2 + (side > 0)
    for rank in range(LEVELS):
        level_price = best + side * gap * rank
        if level_price < 1:
            return
        # About 0.2 % of an hour's volume at the best level, growing outwards, each level times 0.5 to 1.5.
        jitter = 500 + _mixed(mark, rank) % 1001
        yield Level(level_price, known.volume * (10 + rank) * jitter // 5_000_000)


def _left(levels: Iterator[Level], taken: int) -> Iterator[Level]:
    for level in levels:
        gone = min(taken, level.volume)
        taken -= gone
        if level.volume > gone:
            yield Level(level.price, level.volume - gone)


def _mixed(a: int, b: int) -> int:
    """A 64-bit hash of two numbers (the finaliser of SplitMix64)."""
    z = (a * 0x9E3779B97F4A7C15 + b * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
