"""Performance of a bot, from its trades and the market's last price."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Count, Q, Sum

from apps.bots.adapters import LastPrice, last_price, pair_rules_kept
from apps.bots.models import Bot, BotStatus, BotTrade
from apps.bots.position_pnl import ZERO, PositionPnl, exactly
from apps.bots.selectors.bots import bot_get
from apps.core.terms import Side

MAX_POINTS = 500


@dataclass(frozen=True)
class EquityPoint:
    """Right after a trade, at that trade's price: the profit since the first trade, and with today's budget the equity.

    The profit stays what it was when the budget is changed later.
    """

    at: datetime
    price: Decimal
    profit: Decimal
    equity: Decimal


@dataclass(frozen=True)
class Performance:
    """Amounts in the quote asset. Without a last price, the fields that depend on it are None.

    `sales` counts orders with a sale, however many fills each had, `profitable_sales` those that made a profit.
    """

    bot_id: UUID
    pair: str
    base_asset: str
    quote_asset: str
    quote_budget: Decimal
    trades: int
    sales: int
    profitable_sales: int
    position_volume: Decimal
    average_price: Decimal | None
    last_price: Decimal | None
    last_price_as_of: datetime | None
    realised_pnl: Decimal
    unrealised_pnl: Decimal | None
    fees: Decimal
    equity: Decimal | None
    equity_curve: list[EquityPoint]


def performance_get(*, bot_id: UUID, user_id: UUID, now: datetime) -> Performance:
    """Raises BotNotFound."""
    bot = bot_get(bot_id=bot_id, user_id=user_id)
    with exactly():
        return _performance_of(bot, price=last_price(pair=bot.pair, mode=bot.config.mode, now=now))


def _performance_of(bot: Bot, *, price: LastPrice | None) -> Performance:
    status = BotStatus.objects.filter(bot_id=bot.id).first() or BotStatus(bot_id=bot.id, user_id=bot.user_id)
    pnl = position_pnl_of_status(status)
    if pnl.position_volume == 0:
        unrealised: Decimal | None = ZERO
    else:
        unrealised = pnl.value_at(price.price) - pnl.position_cost if price else None
    rules = pair_rules_kept(pair=bot.pair, mode=bot.config.mode)
    by_order = (
        BotTrade.objects.filter(bot_id=bot.id, side=Side.SELL).values("order_id").annotate(pnl=Sum("realised_pnl"))
    )
    sales = by_order.aggregate(all=Count("order_id"), profitable=Count("order_id", filter=Q(pnl__gt=0)))
    return Performance(
        bot_id=bot.id,
        pair=bot.pair,
        base_asset=status.base_asset or (rules.base_asset if rules else ""),
        quote_asset=status.quote_asset or (rules.quote_asset if rules else ""),
        quote_budget=bot.quote_budget,
        trades=pnl.trades,
        sales=sales["all"],
        profitable_sales=sales["profitable"],
        position_volume=pnl.position_volume,
        average_price=pnl.average_price,
        last_price=price.price if price else None,
        last_price_as_of=price.as_of if price else None,
        realised_pnl=pnl.realised_pnl,
        unrealised_pnl=unrealised,
        fees=pnl.fees,
        equity=bot.quote_budget + pnl.realised_pnl + unrealised if unrealised is not None else None,
        equity_curve=_curve(bot, pnl),
    )


def quote_asset_of(bot: Bot, status: BotStatus | None) -> str:
    """Of its trades, or by the rules of its pair; empty where neither is known."""
    if status is not None and status.quote_asset:
        return status.quote_asset
    rules = pair_rules_kept(pair=bot.pair, mode=bot.config.mode)
    return rules.quote_asset if rules else ""


def position_pnl_of_status(status: BotStatus) -> PositionPnl:
    return PositionPnl(
        trades=status.trades,
        position_volume=Decimal(status.position_volume),
        position_cost=Decimal(status.position_cost),
        quote_flow=Decimal(status.quote_flow),
        realised_pnl=Decimal(status.realised_pnl),
        fees=Decimal(status.fees),
    )


def _curve(bot: Bot, pnl: PositionPnl) -> list[EquityPoint]:
    """Goes back from the newest trade: P&L realised up to a trade is the current P&L less that of later trades."""
    points = []
    realised = pnl.realised_pnl
    for trade in BotTrade.objects.filter(bot_id=bot.id).order_by("-seq")[:MAX_POINTS]:
        held = PositionPnl(position_volume=trade.position_volume, position_cost=trade.position_cost)
        profit = realised + held.value_at(trade.price) - held.position_cost
        points.append(EquityPoint(trade.executed_at, trade.price, profit, bot.quote_budget + profit))
        realised -= trade.realised_pnl
    return points[::-1]
