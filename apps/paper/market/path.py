"""The price path within a candle, in steps.

A candle records open, high, low and close, not the prices between them. The path is an interpolation in three straight
legs: open, low, high, close in a rising candle; open, high, low, close in a falling one. Strategies should decide on
closed candles.
"""

from collections.abc import Sequence

from apps.paper.market.candles import Candle

STEPS = 30  # per candle; the legs end at steps 10, 20 and 29
_TURNS = (0, STEPS // 3, 2 * STEPS // 3, STEPS - 1)


def turning_points(candle: Candle) -> tuple[int, int, int, int]:
    if candle.close >= candle.open:
        return candle.open, candle.low, candle.high, candle.close
    return candle.open, candle.high, candle.low, candle.close


def price_at(candle: Candle, step: int) -> int:
    """The price in ticks at a step of the candle, 0 (its open) to STEPS-1 (its close)."""
    points = turning_points(candle)
    leg = 0 if step < _TURNS[1] else 1 if step < _TURNS[2] else 2
    begin, end = _TURNS[leg], _TURNS[leg + 1]
    return points[leg] + (points[leg + 1] - points[leg]) * (step - begin) // (end - begin)


def volume_through(candle: Candle, step: int) -> int:
    """Lots traded in the candle up to and including the step. At the last step it is the candle's volume."""
    return candle.volume * (step + 1) // STEPS


def volume_at(candle: Candle, step: int) -> int:
    return volume_through(candle, step) - (volume_through(candle, step - 1) if step else 0)


def trades_through(candle: Candle, step: int) -> int:
    return candle.trades * (step + 1) // STEPS


def forming(candle: Candle, step: int) -> Candle:
    """The forming candle at the step, computed from the path up to the step alone."""
    seen: Sequence[int] = [price_at(candle, earlier) for earlier in range(step + 1)]
    return Candle(
        time=candle.time,
        open=candle.open,
        high=max(seen),
        low=min(seen),
        close=seen[-1],
        volume=volume_through(candle, step),
        trades=trades_through(candle, step),
    )


def average_price(candle: Candle, step: int | None = None) -> int:
    """Volume-weighted average price in ticks, as far as seen; of the whole candle where `step` is None.

    The path trades evenly, so a whole candle's average is that of its three legs.
    """
    if step is None:
        return (candle.open + 2 * candle.high + 2 * candle.low + candle.close) // 6
    volumes = [volume_at(candle, earlier) for earlier in range(step + 1)]
    if not sum(volumes):
        return candle.open
    return sum(price_at(candle, i) * volume for i, volume in enumerate(volumes)) // sum(volumes)
