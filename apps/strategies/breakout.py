from typing import Annotated

from pydantic import Field

from apps.core.terms import Side
from apps.strategies.base import OrderPlan, Snapshot, Strategy, Window


class Breakout(
    Strategy,
    strategy="breakout",
    title="Channel breakout",
    loses_when="a breakout fails: the price turns right after it bought, and falls through the whole channel before it "
    "sells.",
):
    """Buys when a candle closes above the highest high of the window before it (the Donchian channel), and sells when
    one closes below the lowest low."""

    window: Annotated[Window, Field(ge=2, title="Window", description="In candles.")] = 20

    def decide(self, snapshot: Snapshot) -> list[OrderPlan]:
        if len(snapshot.candles) < self.window + 1:
            return []
        last = snapshot.candles[-1]
        before = snapshot.candles[-self.window - 1 : -1]
        if last.close > max(candle.high for candle in before) and not snapshot.holds:
            return [OrderPlan(side=Side.BUY, reason=f"close above the high of {self.window} candles")]
        if last.close < min(candle.low for candle in before) and snapshot.holds:
            return [OrderPlan(side=Side.SELL, reason=f"close below the low of {self.window} candles")]
        return []
