"""Market data: pairs, the last price, candles. Prices in the quote asset, volumes in the base asset."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from apps.console.api_client.base import Answer, Api
from apps.console.api_client.lists import Page, given


class Instrument(Answer):
    pair: str
    symbol: str
    base: str
    quote: str
    status: str
    price_decimals: int
    volume_decimals: int
    order_minimum: Decimal
    cost_minimum: Decimal


class Ticker(Answer):
    pair: str
    ask: Decimal
    bid: Decimal
    last: Decimal
    as_of: datetime
    stale: bool
    synthetic: bool | None


class Candle(Answer):
    """`time` is the candle's first moment in market time, which on a replayed market is not today's."""

    time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    @property
    def row(self) -> list[int | str]:
        """For a chart: seconds, then open, high, low, close and volume as text."""
        amounts = (self.open, self.high, self.low, self.close, self.volume)
        return [int(self.time.timestamp()), *(f"{amount:f}" for amount in amounts)]


class Candles(Answer):
    """Closed candles, oldest first, and the one that is still forming."""

    pair: str
    interval_minutes: int
    candles: list[Candle]
    forming: Candle | None = None
    next: str | None = None
    as_of: datetime
    stale: bool
    synthetic: bool | None


class ExchangeStatus(Answer):
    exchange: str
    status: str
    as_of: datetime
    synthetic: bool


def pairs(api: Api) -> list[Instrument]:
    """The first 200 by name."""
    return Page[Instrument].read(api.get("trading/pairs", given(limit=200))).results


def candles(api: Api, *, pair: str, interval: str, **page: Any) -> Candles:
    """`page`: `limit`, `before` and `since` as the API takes them."""
    query = given(pair=pair, interval=interval, **page)
    return Candles.model_validate(api.get("trading/ohlc", query))


def ticker(api: Api, *, pair: str) -> Ticker:
    return Ticker.model_validate(api.get("trading/ticker", given(pair=pair)))


def exchange_status(api: Api) -> ExchangeStatus:
    return ExchangeStatus.model_validate(api.get("kraken/status"))
