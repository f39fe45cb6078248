from typing import Annotated

from pydantic import Field

from apps.core.terms import Side
from apps.strategies.base import OrderPlan, QuoteAmount, Snapshot, Strategy, Window


class Dca(
    Strategy,
    strategy="dca",
    title="Cost averaging",
    loses_when="the price goes down and stays down: it goes on buying until its budget is spent, and has no stop.",
):
    """Buys for the same amount every so many candles, whatever the price. It never sells."""

    every_candles: Annotated[Window, Field(ge=1, title="Every", description="Candles between two purchases.")] = 24
    quote_amount: Annotated[QuoteAmount, Field(title="Amount", description="Spent each time, in the quote asset.")]

    def decide(self, snapshot: Snapshot) -> list[OrderPlan]:
        last = snapshot.last_buy_at
        if last is not None and last > snapshot.candles[-1].opened_at:
            last = None  # a replayed market has begun again: what was bought in its future does not count
        # A bot that has not bought yet buys on its first decision.
        is_due = last is None or snapshot.candles_since(last) >= self.every_candles
        if not (is_due or snapshot.is_asked):
            return []
        reason = f"every {self.every_candles} candles" if is_due else "asked for"
        return [OrderPlan(side=Side.BUY, quote_amount=self.quote_amount, reason=reason)]
