"""Small markets and orders for tests, in round numbers."""

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.paper.engine.orders import OrderType, Side, Status, WorkingOrder
from apps.paper.instruments import CATALOGUE, Pair
from apps.paper.market.candles import CandleSeries
from apps.paper.market.path import STEPS
from apps.paper.market.replay import Replay, ReplayClock

XBTUSD = CATALOGUE["XBTUSD"]
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = 3600
FIRST_TIME = 1_514_764_800
COIN = 10**8  # lots in one base unit
ACCOUNT = UUID("00000000-0000-7000-8000-000000000001")

# open, high, low, close in ticks; volume in lots; trades
Row = tuple[int, int, int, int, int, int]


def flat(price: int, volume: int = 300 * COIN) -> Row:
    """A candle with a constant price, in ticks."""
    return (price, price, price, price, volume, 60)


def series(rows: Sequence[Row], *, pair: Pair = XBTUSD, interval_minutes: int = 60) -> CandleSeries:
    columns = [array("q", column) for column in zip(*rows, strict=True)]
    seconds = interval_minutes * 60
    return CandleSeries(
        pair=pair,
        interval_minutes=interval_minutes,
        source="a test",
        synthetic=False,
        fingerprint=f"test:{hash(tuple(rows))}",
        times=array("q", range(FIRST_TIME, FIRST_TIME + len(rows) * seconds, seconds)),
        opens=columns[0],
        highs=columns[1],
        lows=columns[2],
        closes=columns[3],
        volumes=columns[4],
        trades=columns[5],
    )


def replay(rows: Sequence[Row], *, candle_seconds: float = 30.0, start_candle: int = 0) -> Replay:
    """With 30 seconds a candle, a step is a second."""
    return Replay(series(rows), ReplayClock(START, start_candle * STEPS, candle_seconds))


def order(**changes: Any) -> WorkingOrder:
    """A live limit order to buy one bitcoin at 1000.0, unless told otherwise."""
    terms: dict[str, Any] = {
        "pair": XBTUSD,
        "side": Side.BUY,
        "kind": OrderType.LIMIT,
        "volume": Decimal(1),
        "limit": Decimal(1000),
        "taker_rate": Decimal("0.004"),
        "maker_rate": Decimal("0.0025"),
        "account_id": ACCOUNT,
        "queued_at": START,
        "status": Status.OPEN,
    }
    return WorkingOrder(**{**terms, **changes})
