"""Events about trades. Amounts are decimal strings in the asset that the field's name or the docstring gives."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from apps.core.terms import Mode, Side
from apps.messages.base import Event
from apps.messages.topics import TRADING_EVENTS


class BotTradeExecuted(Event, name="bot.trade.executed", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"):
    """A fill of a bot's order, in the order of its fills.

    `volume` is in the base asset, `price`, `cost` and `fee` in the quote asset. `market_time` is the time of the candle
    that the bot decided on, `executed_at` the exchange's time of the fill; both UTC.
    """

    bot_id: UUID
    run_id: UUID
    user_id: UUID
    credential_id: UUID
    trade_id: UUID
    order_id: UUID
    exchange_trade_id: str
    mode: Mode
    strategy: str
    pair: str
    base_asset: str
    quote_asset: str
    side: Side
    price: Decimal
    volume: Decimal
    cost: Decimal
    fee: Decimal
    market_time: datetime | None = None
    executed_at: datetime


class BotTradeSkipped(Event, name="bot.trade.skipped", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"):
    """A bot wanted to trade and a rule held it back: `code` for programs, `message` for people."""

    bot_id: UUID
    run_id: UUID
    user_id: UUID
    pair: str
    side: Side
    code: str
    message: str
    market_time: datetime | None = None
    skipped_at: datetime


class PositionAbandoned(Event, name="bot.position.abandoned", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"):
    """A bot's coins stay in the exchange account and belong to no bot any more. `volume` is in the base asset.

    `command_id` is the command that gave them up; None where they came by an order that ended after it.
    """

    bot_id: UUID
    user_id: UUID
    credential_id: UUID
    release_id: UUID
    command_id: UUID | None = None
    pair: str
    base_asset: str
    volume: Decimal
    reason: Literal["bot_deleted", "key_disconnected"]
    abandoned_at: datetime


class BotTradeLimited(
    BotTradeSkipped, name="bot.trade.skipped", version=2, topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"
):
    """A skipped trade with both figures of its rule, in `unit`: the limit, and what the trade would have been."""

    limit: Decimal
    actual: Decimal
    unit: str


class PositionWrittenOff(
    Event, name="bot.position.written_off", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"
):
    """The exchange has a lot or two less than the bot's position: they are written off. `volume` is in base."""

    bot_id: UUID
    user_id: UUID
    credential_id: UUID
    release_id: UUID
    pair: str
    base_asset: str
    volume: Decimal
    written_off_at: datetime


class TradeExecuted(
    Event, name="trade.executed", topic=TRADING_EVENTS.name, aggregate="credential", key="credential_id"
):
    """A fill on an exchange account, whoever ordered it: the account's story. Units as in BotTradeExecuted."""

    credential_id: UUID
    user_id: UUID
    trade_id: UUID
    order_id: UUID
    exchange_trade_id: str
    bot_id: UUID | None = None
    mode: Mode
    pair: str
    base_asset: str
    quote_asset: str
    side: Side
    price: Decimal
    volume: Decimal
    cost: Decimal
    fee: Decimal
    executed_at: datetime
