"""Below /api/v1/ of the kraken service."""

from django.urls import path

from apps.bots.api.views import caps, commands, definitions, halts, orders, status, stream

urlpatterns = [
    path("bot/strategies", definitions.StrategyListView.as_view()),
    path("bot/alerts", status.AlertListView.as_view()),
    path("bot/commands", commands.AccountCommandListView.as_view()),
    path("bot/stream", stream.BotStreamView.as_view()),
    path("bot/stop-all", commands.BotStopAllView.as_view()),
    path("bot/start", commands.BotStartByBodyView.as_view()),
    path("bot/stop", commands.BotStopByBodyView.as_view()),
    path("bot/trigger_trade", commands.BotTriggerTradeByBodyView.as_view()),
    path("bot", definitions.BotListView.as_view()),
    path("bot/<uuid:bot_id>", definitions.BotView.as_view(), name="bot"),
    path("bot/<uuid:bot_id>/clone", definitions.BotCloneView.as_view()),
    path("bot/<uuid:bot_id>/start", commands.BotStartView.as_view()),
    path("bot/<uuid:bot_id>/pause", commands.BotPauseView.as_view()),
    path("bot/<uuid:bot_id>/stop", commands.BotStopView.as_view()),
    path("bot/<uuid:bot_id>/flatten", commands.BotFlattenView.as_view()),
    path("bot/<uuid:bot_id>/trigger-trade", commands.BotTriggerTradeView.as_view()),
    path("bot/<uuid:bot_id>/commands", commands.BotCommandListView.as_view()),
    path("bot/<uuid:bot_id>/commands/<uuid:command_id>", commands.BotCommandView.as_view(), name="bot-command"),
    path("bot/<uuid:bot_id>/status", status.BotStatusView.as_view()),
    path("bot/<uuid:bot_id>/timeline", status.BotTimelineView.as_view()),
    path("bot/<uuid:bot_id>/trades", status.BotTradeListView.as_view()),
    path("bot/<uuid:bot_id>/performance", status.BotPerformanceView.as_view()),
    path("bot/<uuid:bot_id>/equity", status.BotEquityView.as_view()),
    path("trading/equity", status.AccountEquityView.as_view()),
    path("trading/portfolio", status.PortfolioView.as_view()),
    path("trading/caps", caps.CapsView.as_view()),
    path("trading/halts", halts.HaltListView.as_view()),
    path("trading/halts/<uuid:halt_id>", halts.HaltView.as_view()),
    path("trading/orders", orders.OrderListView.as_view()),
    path("trading/orders/<uuid:order_id>", orders.OrderView.as_view()),
    path("trading/trades", status.AccountTradeListView.as_view()),
]
