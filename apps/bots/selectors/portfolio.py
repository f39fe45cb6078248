"""Portfolio: holdings and profit of all of a user's bots."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from uuid import UUID

from apps.bots.adapters import LastPrice, last_price
from apps.bots.models import Bot, BotStatus
from apps.bots.position_pnl import ZERO, exactly
from apps.bots.selectors.accounts import AccountShares, account_shares
from apps.bots.selectors.performance import position_pnl_of_status
from apps.bots.selectors.trades import user_trading_get
from apps.core.terms import Mode


@dataclass(frozen=True)
class Holding:
    """Position of one bot, in the quote asset. Without a market price, `value` and `unrealised_pnl` are None."""

    bot_id: UUID
    bot_name: str
    mode: Mode
    pair: str
    base_asset: str
    quote_asset: str
    volume: Decimal
    average_price: Decimal | None
    last_price: Decimal | None
    last_price_as_of: datetime | None
    value: Decimal | None
    unrealised_pnl: Decimal | None


@dataclass(frozen=True)
class Total:
    """Sums of one mode and quote asset: paper and live are never added. None if a price is missing."""

    mode: Mode
    quote_asset: str
    bots: int
    trades: int
    realised_pnl: Decimal
    fees: Decimal
    value: Decimal | None
    unrealised_pnl: Decimal | None


@dataclass(frozen=True)
class Portfolio:
    """`trades` counts all fills on the user's accounts, of bots and others. `accounts` are those of connected keys."""

    trades: int
    last_trade_at: datetime | None
    holdings: list[Holding]
    totals: list[Total]
    accounts: list[AccountShares]


def portfolio_get(*, user_id: UUID, now: datetime) -> Portfolio:
    """Includes deleted bots: their profit and holdings are still the user's. May call the exchange for prices."""
    trading = user_trading_get(user_id=user_id)
    bots = {bot.id: bot for bot in Bot.objects.filter(user_id=user_id)}
    statuses = BotStatus.objects.filter(user_id=user_id, bot_id__in=bots, trades__gt=0).order_by("bot_id")
    prices: dict[tuple[Mode, str], LastPrice | None] = {}
    parts = []
    with exactly():
        for status in statuses:
            bot = bots[status.bot_id]
            market = (bot.config.mode, bot.pair)
            if status.position_volume and market not in prices:
                prices[market] = last_price(pair=bot.pair, mode=bot.config.mode, now=now)
            parts.append((status, _holding(bot, status, prices.get(market))))
        return Portfolio(
            trades=trading.trades,
            last_trade_at=trading.last_trade_at,
            holdings=[holding for _, holding in parts if holding.volume],
            totals=_totals(parts),
            accounts=account_shares(user_id=user_id),
        )


def _holding(bot: Bot, status: BotStatus, price: LastPrice | None) -> Holding:
    pnl = position_pnl_of_status(status)
    value = pnl.value_at(price.price) if price else None if pnl.position_volume else ZERO
    return Holding(
        bot_id=bot.id,
        bot_name=bot.name,
        mode=bot.config.mode,
        pair=bot.pair,
        base_asset=status.base_asset,
        quote_asset=status.quote_asset,
        volume=pnl.position_volume,
        average_price=pnl.average_price,
        last_price=price.price if price else None,
        last_price_as_of=price.as_of if price else None,
        value=value,
        unrealised_pnl=value - pnl.position_cost if value is not None else None,
    )


def _totals(parts: Iterable[tuple[BotStatus, Holding]]) -> list[Total]:
    def place(part: tuple[BotStatus, Holding]) -> tuple[Mode, str]:
        return part[1].mode, part[1].quote_asset

    totals = []
    for (mode, quote_asset), group in groupby(sorted(parts, key=place), key=place):
        members = list(group)
        totals.append(
            Total(
                mode=mode,
                quote_asset=quote_asset,
                bots=len(members),
                trades=sum(status.trades for status, _ in members),
                realised_pnl=sum((status.realised_pnl for status, _ in members), ZERO),
                fees=sum((status.fees for status, _ in members), ZERO),
                value=_sum(holding.value for _, holding in members),
                unrealised_pnl=_sum(holding.unrealised_pnl for _, holding in members),
            )
        )
    return totals


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """None if an amount is unknown: a partial sum would be misleading."""
    total = ZERO
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total
