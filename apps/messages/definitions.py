"""Events about the definitions of bots: what their owners made, changed and deleted. Names of bots are in none."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.core.terms import Mode
from apps.messages.base import Event
from apps.messages.topics import TRADING_EVENTS


class BotCreated(Event, name="bot.created", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"):
    """A bot was defined; it does not run. `quote_budget` is in the pair's quote asset."""

    bot_id: UUID
    user_id: UUID
    credential_id: UUID
    mode: Mode
    pair: str
    strategy: str
    quote_budget: Decimal
    created_at: datetime


class BotChanged(Event, name="bot.changed", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"):
    """`changed` names the fields that differ since the version before. They apply from the next start on."""

    bot_id: UUID
    user_id: UUID
    version: int
    changed: tuple[str, ...]


class BotDeleted(Event, name="bot.deleted", topic=TRADING_EVENTS.name, aggregate="bot", key="bot_id"):
    """`abandons`: the coins that the bot held were given up to the account."""

    bot_id: UUID
    user_id: UUID
    abandons: bool
