from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from apps.core.terms import Side
from apps.strategies.base import OrderPlan, Snapshot, Strategy, Window


class SmaCross(
    Strategy,
    strategy="sma_cross",
    title="Moving average crossover",
    loses_when="the price moves sideways: each crossing buys high and sells low, and pays the fee twice. "
    "After a sudden fall it sells late.",
):
    """Holds the asset while the fast simple moving average of the closing prices is above the slow one."""

    fast: Annotated[Window, Field(ge=1, title="Fast window", description="In candles.")] = 5
    slow: Annotated[Window, Field(ge=2, title="Slow window", description="In candles; longer than the fast one.")] = 20
    enter_on_start: Annotated[
        bool,
        Field(
            title="Enter on start",
            description="Buy at once where the fast average is above already; otherwise wait for the next crossing.",
        ),
    ] = True

    @model_validator(mode="after")
    def _fast_is_faster(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError("the fast window must be shorter than the slow one")
        return self

    def decide(self, snapshot: Snapshot) -> list[OrderPlan]:
        closes = snapshot.closes
        if len(closes) < self.slow + 1:
            return []
        is_above = self._is_above(closes)
        has_crossed = is_above != self._is_above(closes[:-1])
        if is_above and not snapshot.holds and (has_crossed or self.enter_on_start):
            return [OrderPlan(side=Side.BUY, reason=f"SMA {self.fast} is above SMA {self.slow}")]
        if not is_above and snapshot.holds:
            return [OrderPlan(side=Side.SELL, reason=f"SMA {self.fast} is not above SMA {self.slow}")]
        return []

    def _is_above(self, closes: Sequence[Decimal]) -> bool:
        # Compared without division, which would round: sum/fast > sum/slow.
        return sum(closes[-self.fast :]) * self.slow > sum(closes[-self.slow :]) * self.fast
