"""What goes in and out. Amounts are decimal strings, times ISO 8601 UTC."""

from apps.bots.api.serializers.commands import (
    BotIdSerializer,
    BotIdTriggerTradeSerializer,
    ReceiptListSerializer,
    ReceiptSerializer,
    StopAllSerializer,
    TriggerTradeSerializer,
)
from apps.bots.api.serializers.definitions import (
    BotChangeSerializer,
    BotCreateSerializer,
    BotDefinitionSerializer,
    BotSerializer,
    StrategyListSerializer,
    StrategySerializer,
)
from apps.bots.api.serializers.status import (
    AlertSerializer,
    NoticeSerializer,
    StatusSerializer,
    TimelineEntrySerializer,
    TimelineQuerySerializer,
    TimelineSerializer,
    UnderWaySerializer,
)
from apps.bots.api.serializers.trading import (
    AccountTradeFilterSerializer,
    AccountTradeSerializer,
    EquityPointSerializer,
    HoldingSerializer,
    PerformanceSerializer,
    PortfolioSerializer,
    TotalSerializer,
    TradeSerializer,
)

__all__ = [
    "AccountTradeFilterSerializer",
    "AccountTradeSerializer",
    "AlertSerializer",
    "BotChangeSerializer",
    "BotCreateSerializer",
    "BotDefinitionSerializer",
    "BotIdSerializer",
    "BotIdTriggerTradeSerializer",
    "BotSerializer",
    "EquityPointSerializer",
    "HoldingSerializer",
    "NoticeSerializer",
    "PerformanceSerializer",
    "PortfolioSerializer",
    "ReceiptListSerializer",
    "ReceiptSerializer",
    "StatusSerializer",
    "StopAllSerializer",
    "StrategyListSerializer",
    "StrategySerializer",
    "TimelineEntrySerializer",
    "TimelineQuerySerializer",
    "TimelineSerializer",
    "TotalSerializer",
    "TradeSerializer",
    "TriggerTradeSerializer",
    "UnderWaySerializer",
]
