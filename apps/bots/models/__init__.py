"""Models of bots. Services write bots and commands; events alone write the read models."""

from apps.bots.models.alerts import Alert
from apps.bots.models.definitions import Bot, BotCommand, CommandKind, Interval
from apps.bots.models.orders import BotOrder, OrderState, OrderStep
from apps.bots.models.status import BotState, BotStatus, RunEvent
from apps.bots.models.stream import StreamEntry, StreamHead, StreamKind, StreamNote
from apps.bots.models.trades import AccountTrade, BotTrade, PositionRelease, UserTrading

__all__ = [
    "AccountTrade",
    "Alert",
    "Bot",
    "BotCommand",
    "BotOrder",
    "BotState",
    "BotStatus",
    "BotTrade",
    "CommandKind",
    "Interval",
    "OrderState",
    "OrderStep",
    "PositionRelease",
    "RunEvent",
    "StreamEntry",
    "StreamHead",
    "StreamKind",
    "StreamNote",
    "UserTrading",
]
