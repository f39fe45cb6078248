"""Models of bots. Services write bots and commands; events alone write the read models."""

from apps.bots.models.alerts import Alert
from apps.bots.models.definitions import Bot, BotCommand, CommandKind, Interval
from apps.bots.models.status import BotRunNews, BotState, BotStatus
from apps.bots.models.trades import AccountTrade, BotTrade, UserTrading

__all__ = [
    "AccountTrade",
    "Alert",
    "Bot",
    "BotCommand",
    "BotRunNews",
    "BotState",
    "BotStatus",
    "BotTrade",
    "CommandKind",
    "Interval",
    "UserTrading",
]
