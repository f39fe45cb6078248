"""Buys when a candle closes above the highest high of the `window` candles before it, sells below their lowest low."""

from apps.events.catalogue.strategies import BreakoutParameters
from apps.exchange.types import Side
from apps.trading.strategies.base import OrderPlan, Snapshot, strategy


@strategy(BreakoutParameters)
def breakout(snapshot: Snapshot, parameters: BreakoutParameters) -> list[OrderPlan]:
    if len(snapshot.candles) < parameters.window + 1:
        return []
    last = snapshot.candles[-1]
    before = snapshot.candles[-parameters.window - 1 : -1]
    if last.close > max(candle.high for candle in before) and not snapshot.holds:
        return [OrderPlan(side=Side.BUY, reason=f"close above the high of {parameters.window} candles")]
    if last.close < min(candle.low for candle in before) and snapshot.holds:
        return [OrderPlan(side=Side.SELL, reason=f"close below the low of {parameters.window} candles")]
    return []
