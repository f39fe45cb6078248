"""Two simple moving averages of the closing price: in the market while the fast one is above the slow one.

Rule `enter_on_start` (default): the position follows the signal from the first decision on. A bot that starts while the
fast average is above buys at once. Without the rule it buys on a crossing candle alone.
"""

from collections.abc import Sequence
from decimal import Decimal

from apps.events.catalogue.strategies import SmaCrossParameters
from apps.exchange.types import Side
from apps.trading.strategies.base import OrderPlan, Snapshot, strategy


@strategy(SmaCrossParameters)
def sma_cross(snapshot: Snapshot, parameters: SmaCrossParameters) -> list[OrderPlan]:
    closes = snapshot.closes
    if len(closes) < parameters.slow + 1:
        return []
    is_above = _is_above(closes, parameters)
    has_crossed = is_above != _is_above(closes[:-1], parameters)
    if is_above and not snapshot.holds and (has_crossed or parameters.enter_on_start):
        return [OrderPlan(side=Side.BUY, reason=f"SMA {parameters.fast} is above SMA {parameters.slow}")]
    if not is_above and snapshot.holds:
        return [OrderPlan(side=Side.SELL, reason=f"SMA {parameters.fast} is not above SMA {parameters.slow}")]
    return []


def _is_above(closes: Sequence[Decimal], parameters: SmaCrossParameters) -> bool:
    # Compared without division, which would round: sum/fast > sum/slow.
    fast, slow = sum(closes[-parameters.fast :]), sum(closes[-parameters.slow :])
    return fast * parameters.slow > slow * parameters.fast
