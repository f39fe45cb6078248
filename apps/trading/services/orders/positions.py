"""Positions: what a bot holds, and what its active orders reserve."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.core.money import DECIMAL_PLACES, round_up
from apps.core.terms import Side
from apps.trading.models.ledger import Position
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun

# The highest taker fee that Kraken has published (0.80 %, autumn 2026), as a fraction of the cost.
WORST_FEE_RATE = Decimal("0.008")


def worst_cost(*, price: Decimal, volume: Decimal) -> Decimal:
    """The most quote currency that a purchase may take, fee included."""
    return round_up(price * volume * (1 + WORST_FEE_RATE), DECIMAL_PLACES)


def position_get(run: BotRun) -> Position:
    """The position of the run's bot on the run's account, as it is now."""
    return Position.objects.get(bot_id=run.bot_id, credential_id=run.credential_id, pair=run.pair)


def position_get_for_update(*, bot_id: UUID, credential_id: UUID, pair: str) -> Position:
    """The bot's position in the pair on the account, locked for update. It exists since the bot's first run there."""
    return Position.objects.select_for_update().get(bot_id=bot_id, credential_id=credential_id, pair=pair)


def position_ensure(
    *, bot_id: UUID, credential_id: UUID, pair: str, base_asset: str, quote_asset: str, now: datetime
) -> Position:
    position, _ = Position.objects.get_or_create(
        bot_id=bot_id,
        credential_id=credential_id,
        pair=pair,
        defaults={"base_asset": base_asset, "quote_asset": quote_asset, "updated_at": now},
    )
    return position


def reservation_set(position: Position, intent: OrderIntent, *, now: datetime) -> None:
    """Reserves what the order may still take; nothing once it has ended. The caller holds both locks, and saves."""
    quote = base = Decimal(0)
    if intent.is_active and intent.side == Side.BUY:
        quote = worst_cost(price=intent.price, volume=intent.remaining)
    elif intent.is_active:
        base = intent.remaining
    position.quote_reserved += quote - intent.reserved_quote
    position.base_reserved += base - intent.reserved_base
    position.updated_at = now
    intent.reserved_quote, intent.reserved_base = quote, base
