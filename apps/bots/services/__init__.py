"""The only writers of bots: definitions and commands for their owners, read models for the events."""

from apps.bots.services.commands import (
    bot_flatten,
    bot_pause,
    bot_start,
    bot_stop,
    bot_stop_all,
    bot_trigger_trade,
)
from apps.bots.services.definitions import bot_create, bot_delete, bot_update

__all__ = [
    "bot_create",
    "bot_delete",
    "bot_flatten",
    "bot_pause",
    "bot_start",
    "bot_stop",
    "bot_stop_all",
    "bot_trigger_trade",
    "bot_update",
]
