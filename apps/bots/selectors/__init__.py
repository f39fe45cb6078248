"""Reads over bots, their commands and their read models. Whose they are is asked everywhere: not yours is not there."""

from apps.bots.selectors.bots import BotView, bot_get, bot_get_for_update, bot_list, bot_view, bot_views
from apps.bots.selectors.performance import Performance, performance_get
from apps.bots.selectors.portfolio import Portfolio, portfolio_get
from apps.bots.selectors.receipts import Receipt, receipt_get, receipt_list, receipt_of, receipts_of
from apps.bots.selectors.timeline import TimelineEntry, TimelinePage, timeline_of_command, timeline_page
from apps.bots.selectors.trades import account_trade_list, alert_list, trade_list, user_trading_get

__all__ = [
    "BotView",
    "Performance",
    "Portfolio",
    "Receipt",
    "TimelineEntry",
    "TimelinePage",
    "account_trade_list",
    "alert_list",
    "bot_get",
    "bot_get_for_update",
    "bot_list",
    "bot_view",
    "bot_views",
    "performance_get",
    "portfolio_get",
    "receipt_get",
    "receipt_list",
    "receipt_of",
    "receipts_of",
    "timeline_of_command",
    "timeline_page",
    "trade_list",
    "user_trading_get",
]
