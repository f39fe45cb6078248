"""Buys for the same amount every so many candles, whatever the price: cost averaging. It never sells.

A bot that has not bought yet buys on its first decision.
"""

from apps.events.catalogue.strategies import DcaParameters
from apps.exchange.types import Side
from apps.trading.strategies.base import OrderPlan, Snapshot, strategy


@strategy(DcaParameters)
def dca(snapshot: Snapshot, parameters: DcaParameters) -> list[OrderPlan]:
    last = snapshot.last_buy_at
    if last is not None and last > snapshot.candles[-1].opened_at:
        last = None  # a replayed market has begun again: what was bought in its future does not count
    is_due = last is None or snapshot.candles_since(last) >= parameters.every_candles
    if not (is_due or snapshot.is_asked):
        return []
    reason = f"every {parameters.every_candles} candles" if is_due else "asked for"
    return [OrderPlan(side=Side.BUY, quote_amount=parameters.quote_amount, reason=reason)]
