"""Generated candles, used if no recorded ones are configured. The series is marked as synthetic."""

import math
import random
from array import array

from apps.paper.instruments import Pair
from apps.paper.market.candles import CandleSeries

INTERVAL_MINUTES = 60
CANDLES = 40_000
FIRST_TIME = 1_514_764_800  # 2018-01-01T00:00:00Z
FIRST_PRICES = {"XBTUSD": 14_000.0, "ETHUSD": 740.0, "SOLUSD": 90.0, "XDGUSD": 0.09}

_HOURLY_VOLATILITY = 0.006
_PERSISTENCE = 0.97  # of volatility: quiet and wild hours come in clusters
_SHOCK = 0.16
_POINTS = 6  # of the walk within a candle, from which high and low are taken
_TURNOVER_USD = 900_000.0


def generate_candles(pair: Pair, *, seed: int, candles: int = CANDLES) -> CandleSeries:
    """Hourly candles: a geometric random walk with clustered volatility. Equal seeds give equal candles."""
    rng = random.Random(f"{seed}:{pair.altname}")  # noqa: S311 (a market, not a secret)
    columns = [array("q") for _ in range(6)]
    times = array("q", range(FIRST_TIME, FIRST_TIME + candles * INTERVAL_MINUTES * 60, INTERVAL_MINUTES * 60))
    first_price = FIRST_PRICES.get(pair.altname, 100.0)
    price, log_volatility = first_price, 0.0
    for _ in range(candles):
        log_volatility = _PERSISTENCE * log_volatility + _SHOCK * rng.gauss(0.0, 1.0)
        volatility = _HOURLY_VOLATILITY * math.exp(log_volatility)
        walk = [price]
        for _ in range(_POINTS):
            # Weak mean reversion keeps a long series in a range where prices have their usual number of digits.
            pull = 0.00002 * math.log(first_price / walk[-1])
            walk.append(walk[-1] * math.exp(rng.gauss(pull, volatility / math.sqrt(_POINTS))))
        volume = _TURNOVER_USD / price * math.exp(0.8 * log_volatility + rng.gauss(-0.1, 0.45))
        ticks = [max(1, round(point * 10**pair.pair_decimals)) for point in walk]
        row = (
            ticks[0],
            max(ticks),
            min(ticks),
            ticks[-1],
            round(volume * 10**pair.lot_decimals),
            1 + int(volume * 8) % 3000,
        )
        for column, value in zip(columns, row, strict=True):
            column.append(value)
        price = walk[-1]
    return CandleSeries(
        pair=pair,
        interval_minutes=INTERVAL_MINUTES,
        source=f"generated from seed {seed}",
        synthetic=True,
        fingerprint=f"synthetic:{seed}:{candles}",
        times=times,
        opens=columns[0],
        highs=columns[1],
        lows=columns[2],
        closes=columns[3],
        volumes=columns[4],
        trades=columns[5],
    )
