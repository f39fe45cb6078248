"""Settlement of resting orders against the replayed market.

An order fills as maker, at its limit, in every step in which the market trades strictly beyond the limit. A trade at
the limit does not fill it: other orders are assumed to be ahead in the queue. All resting orders of a side share a
tenth of the step's traded volume, by price-time priority. Orders match the market, never one another.

The fills depend on the steps alone, not on how often or when they are settled.
"""

from collections.abc import Iterable
from datetime import datetime

from apps.paper.engine.orders import Fill, Liquidity, Side, WorkingOrder
from apps.paper.market.dump_file import LARGEST
from apps.paper.market.path import STEPS
from apps.paper.market.replay import Replay

PARTICIPATION = 10  # resting orders get one part in ten of the market's volume


def settle(
    orders: Iterable[WorkingOrder], replay: Replay, *, after_step: int, through_step: int, now: datetime
) -> list[Fill]:
    """Settles the steps after `after_step` up to and including `through_step`; returns the fills in order of time.

    Orders whose `ends_at` is at or before `now` end with the fills that they have.
    """
    orders = list(orders)
    resting = sorted((order for order in orders if order.status.is_live), key=_priority)
    fills: list[Fill] = []
    highest_buy, lowest_sell = _reach(resting)
    step = after_step + 1
    while step <= through_step and resting:
        candle = step // STEPS
        candle_end = candle * STEPS + STEPS - 1
        if replay.series.lows[candle] < highest_buy or replay.series.highs[candle] > lowest_sell:
            for current in range(step, min(candle_end, through_step) + 1):
                fills += _fill_step(resting, replay, current)
            resting = [order for order in resting if order.status.is_live]
            highest_buy, lowest_sell = _reach(resting)
        step = candle_end + 1
    for order in orders:
        if order.status.is_live and order.ends_at is not None and order.ends_at <= now:
            order.end(order.ends_as, reason=order.ends_because, at=order.ends_at)
    return fills


def _priority(order: WorkingOrder) -> tuple[int, datetime, int]:
    ticks = order.limit_ticks
    return (-ticks if order.side is Side.BUY else ticks, order.queued_at, order.number)


def _reach(resting: list[WorkingOrder]) -> tuple[int, int]:
    """Highest buy and lowest sell limit, in ticks. A candle whose range lies between them fills nothing."""
    buys = [order.limit_ticks for order in resting if order.side is Side.BUY]
    sells = [order.limit_ticks for order in resting if order.side is Side.SELL]
    return max(buys, default=0), min(sells, default=LARGEST)


def _fill_step(resting: list[WorkingOrder], replay: Replay, step: int) -> list[Fill]:
    price = replay.price_at(step)
    at = replay.time_of(step)
    available = dict.fromkeys(Side, replay.volume_at(step) // PARTICIPATION)
    fills = []
    for order in resting:
        if not order.status.is_live or (order.ends_at is not None and order.ends_at <= at):
            continue
        limit = order.limit_ticks
        traded_through = price < limit if order.side is Side.BUY else price > limit
        lots = min(available[order.side], order.pair.lots(order.remaining))
        if traded_through and lots and order.limit is not None:
            available[order.side] -= lots
            fills.append(
                order.fill(price=order.limit, volume=order.pair.volume(lots), liquidity=Liquidity.MAKER, at=at)
            )
    return fills
