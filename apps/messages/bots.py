"""Commands to bots, and the status messages of the bot service."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from apps.core.terms import Mode, Side
from apps.messages.base import Command, Priority, Status, WakeUp
from apps.messages.topics import TRADING_EVENTS


class BotConfig(BaseModel):
    """A bot's definition as it was when the command was given. `quote_budget` is in the pair's quote asset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    mode: Mode
    credential_id: UUID
    pair: str
    strategy: str
    parameters: dict[str, Any]
    interval_minutes: int
    quote_budget: Decimal
    version: int


class RiskLimits(BaseModel):
    """Limits of a bot's orders. Amounts are in the quote asset, fractions of a price or of the budget; null: no limit.

    They hold back purchases. A sale is held back by `price_band_fraction` alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    price_band_fraction: Decimal = Field(
        Decimal("0.1"), gt=0, le=1, description="How far the best price may be from the last close."
    )
    largest_order_quote: Decimal | None = Field(None, gt=0, description="What one purchase may cost.")
    largest_position_quote: Decimal | None = Field(None, gt=0, description="What the position may be worth.")
    orders_per_minute: int = Field(10, ge=1, le=1000, description="Purchases in 60 seconds.")
    daily_loss_fraction: Decimal = Field(
        Decimal("0.2"), gt=0, le=1, description="Loss since the UTC day began, as a fraction of the budget."
    )
    drawdown_fraction: Decimal = Field(
        Decimal("0.5"), gt=0, le=1, description="Loss since the highest profit, as a fraction of the budget."
    )
    market_data_age_seconds: int = Field(10, ge=1, le=3600, description="How old a price may be.")


class LimitedBotConfig(BotConfig):
    """A bot's definition with the limits of its orders."""

    risk: RiskLimits


class StartBot(Command, name="bot.start", aggregate="bot", key="bot_id", journal=TRADING_EVENTS.name):
    bot_id: UUID
    user_id: UUID
    config: BotConfig
    requested_at: datetime
    expires_at: datetime


class StartLimitedBot(
    StartBot, name="bot.start", version=2, aggregate="bot", key="bot_id", journal=TRADING_EVENTS.name
):
    """The start of a bot whose definition has limits of its own. Version 1 means the default limits."""

    config: LimitedBotConfig


class StopBot(Command, name="bot.stop", aggregate="bot", key="bot_id", journal=TRADING_EVENTS.name):
    """`pause` stops entries and keeps orders, `stop` cancels open orders, `flatten` sells the position as well."""

    bot_id: UUID
    user_id: UUID
    manner: Literal["pause", "stop", "flatten"] = "stop"
    requested_at: datetime
    expires_at: datetime


class StopDeletedBot(StopBot, name="bot.stop", version=2, aggregate="bot", key="bot_id", journal=TRADING_EVENTS.name):
    """The stop of a bot that its owner has deleted: it is final. No start or trade of the bot is carried out after it,
    whenever that was asked for."""

    deleted_at: datetime


class AbandonPosition(StopBot, name="bot.stop", version=3, aggregate="bot", key="bot_id", journal=TRADING_EVENTS.name):
    """The stop of a bot whose owner gives up what it holds: the coins stay in the account and belong to no bot."""

    reason: Literal["bot_deleted", "key_disconnected"]


class TriggerTrade(
    Command,
    name="bot.trigger_trade",
    aggregate="bot",
    key="bot_id",
    journal=TRADING_EVENTS.name,
    priority=Priority.HIGH,
):
    """Trade now: by the strategy's own decision where no side is given. `quote_amount` is in the quote asset."""

    bot_id: UUID
    user_id: UUID
    side: Side | None = None
    quote_amount: Decimal | None = None
    requested_at: datetime
    expires_at: datetime


class ResolveOrder(Command, name="bot.resolve_order", aggregate="bot", key="bot_id", journal=TRADING_EVENTS.name):
    """A person's entry about an order whose evidence contradicts itself; `command_id` is the entry's id.

    `placed_as` is the exchange's id of the order; empty: it was never placed. The exchange is asked before the entry is
    applied.
    """

    bot_id: UUID
    user_id: UUID
    order_id: UUID
    placed_as: str = ""
    operator: str
    because: str
    requested_at: datetime
    expires_at: datetime


class BotStarted(Status, name="bot.started", aggregate="bot", key="bot_id", journal=TRADING_EVENTS.name):
    bot_id: UUID
    user_id: UUID
    run_id: UUID
    command_id: UUID | None = None
    config_version: int
    started_at: datetime


class BotStopped(Status, name="bot.stopped", aggregate="bot", key="bot_id", journal=TRADING_EVENTS.name):
    """`open_orders` lists what is still open on the exchange; empty after a clean stop."""

    bot_id: UUID
    user_id: UUID
    run_id: UUID | None = None
    command_id: UUID | None = None
    manner: Literal["pause", "stop", "flatten", "error"]
    reason: str
    open_orders: tuple[str, ...] = ()
    stopped_at: datetime


class BotError(
    Status, name="bot.error", aggregate="bot", key="bot_id", journal=TRADING_EVENTS.name, priority=Priority.HIGH
):
    """`is_final` says that the run ended; otherwise it goes on and tries again."""

    bot_id: UUID
    user_id: UUID
    run_id: UUID | None = None
    command_id: UUID | None = None
    code: str
    message: str
    is_final: bool
    failed_at: datetime


class TickBot(WakeUp, name="bot.tick", aggregate="bot", key="bot_id"):
    """A run is due: look at the market, decide, and look after its orders."""

    bot_id: UUID
    run_id: UUID
    due_at: datetime
