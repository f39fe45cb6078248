"""Order matching: an incoming order takes liquidity from the order book; its remainder rests or is canceled."""

from datetime import datetime
from enum import StrEnum

from apps.paper.engine.orders import Fill, Liquidity, OrderType, Side, Status, TimeInForce, WorkingOrder
from apps.paper.market.depth import Level, OrderBook


class CancelReason(StrEnum):
    """Kraken's `reason` texts of canceled orders."""

    USER = "User requested"
    POST_ONLY = "Post only order"
    NO_LIQUIDITY = "Out of liquidity"
    IMMEDIATE = "Immediate or cancel"
    ALL_OR_NOTHING = "Fill or kill"
    DEAD_MAN = "Cancel all orders after timeout"
    REDUCED = "Quantity amended to the filled volume"


def match_order(
    order: WorkingOrder, book: OrderBook, *, time_in_force: TimeInForce, post_only: bool, at: datetime
) -> list[Fill]:
    """Matches a pending or amended order against the book; it is open, closed or canceled afterwards.

    A limit order takes levels up to its limit. A post-only order that would take liquidity is canceled. The remainder
    of a market or IOC order is canceled, and so is a FOK order that cannot be filled completely.
    """
    order.status = Status.OPEN
    reachable = _reachable(order, book)
    if post_only and reachable:
        order.end(Status.CANCELED, reason=CancelReason.POST_ONLY, at=at)
        return []
    if time_in_force is TimeInForce.FOK and sum(level.volume for level in reachable) < order.pair.lots(order.remaining):
        order.end(Status.CANCELED, reason=CancelReason.ALL_OR_NOTHING, at=at)
        return []
    fills = _take(order, reachable, at)
    if order.status.is_live and order.kind is OrderType.MARKET:
        order.end(Status.CANCELED, reason=CancelReason.NO_LIQUIDITY, at=at)
    elif order.status.is_live and time_in_force is TimeInForce.IOC:
        order.end(Status.CANCELED, reason=CancelReason.IMMEDIATE, at=at)
    return fills


def _reachable(order: WorkingOrder, book: OrderBook) -> list[Level]:
    levels = book.asks if order.side is Side.BUY else book.bids
    if order.limit is None:
        return list(levels)
    limit = order.limit_ticks
    if order.side is Side.BUY:
        return [level for level in levels if level.price <= limit]
    return [level for level in levels if level.price >= limit]


def _take(order: WorkingOrder, levels: list[Level], at: datetime) -> list[Fill]:
    fills = []
    pair = order.pair
    for level in levels:
        if not order.remaining:
            break
        volume = min(order.remaining, pair.volume(level.volume))
        fills.append(order.fill(price=pair.price(level.price), volume=volume, liquidity=Liquidity.TAKER, at=at))
    return fills
