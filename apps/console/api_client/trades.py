"""Trades: those of one bot, and all on the caller's accounts. Amounts in the quote asset, volumes in the base asset."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.console.api_client.base import Answer, Api
from apps.console.api_client.lists import Page, given


class Trade(Answer):
    """A fill of a bot's order. `market_time` is the candle it was decided on, in market time."""

    trade_id: UUID
    order_id: UUID
    exchange_trade_id: str
    mode: str
    pair: str
    side: str
    price: Decimal
    volume: Decimal
    cost: Decimal
    fee: Decimal
    realised_pnl: Decimal
    position_volume: Decimal
    market_time: datetime | None
    executed_at: datetime


class AccountTrade(Answer):
    """A fill on an account; `bot_id` is null where it was no bot's."""

    trade_id: UUID
    credential_id: UUID
    bot_id: UUID | None
    order_id: UUID | None
    exchange_trade_id: str
    mode: str
    pair: str
    base_asset: str
    quote_asset: str
    side: str
    price: Decimal
    volume: Decimal
    cost: Decimal
    fee: Decimal
    executed_at: datetime


def bot_trades(api: Api, bot_id: UUID, *, limit: int = 50, cursor: str = "") -> Page[Trade]:
    return Page[Trade].read(api.get(f"bot/{bot_id}/trades", given(limit=limit, cursor=cursor)))


def account_trades(api: Api, *, limit: int = 50, **filters: str) -> Page[AccountTrade]:
    """`filters` as the API takes them; empty ones are left out."""
    return Page[AccountTrade].read(api.get("trading/trades", given(limit=limit, **filters)))
