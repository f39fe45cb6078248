from django.urls import path

from apps.console.pages import bot, bot_commands, bot_form, lists, overview

trading_urls = [
    path("", overview.OverviewPage.as_view(), name="home"),
    path("panels/<slug:panel>", overview.OverviewPanel.as_view(), name="overview-panel"),
    path("stop-all", overview.StopAllPage.as_view(), name="stop-all"),
    path("halts/<uuid:halt_id>/lift", overview.LiftHaltPage.as_view(), name="halt-lift"),
    path("bots", lists.BotsPage.as_view(), name="bots"),
    path("bots/new", bot_form.StrategiesPage.as_view(), name="bot-new"),
    path("bots/new/<slug:strategy>", bot_form.NewBotPage.as_view(), name="bot-new-of"),
    path("bots/<uuid:bot_id>", bot.BotPage.as_view(), name="bot"),
    path("bots/<uuid:bot_id>/panels/<slug:panel>", bot.BotPanel.as_view(), name="bot-panel"),
    path("bots/<uuid:bot_id>/candles", bot.BotCandles.as_view(), name="bot-candles"),
    path("bots/<uuid:bot_id>/fills", bot.BotFills.as_view(), name="bot-fills"),
    path("bots/<uuid:bot_id>/timeline", bot.BotTimelinePage.as_view(), name="bot-timeline"),
    path("bots/<uuid:bot_id>/commands/<uuid:command_id>", bot.BotTimelinePage.as_view(), name="bot-command"),
    path("bots/<uuid:bot_id>/edit", bot_form.EditBotPage.as_view(), name="bot-edit"),
    path("bots/<uuid:bot_id>/clone", bot_form.CloneBotPage.as_view(), name="bot-clone"),
    path("bots/<uuid:bot_id>/delete", bot_commands.BotDeletePage.as_view(), name="bot-delete"),
    path("bots/<uuid:bot_id>/<slug:verb>", bot_commands.BotCommandPage.as_view(), name="bot-ask"),
    path("orders", lists.OrdersPage.as_view(), name="orders"),
    path("orders/<uuid:order_id>", lists.OrderPage.as_view(), name="order"),
    path("trades", lists.TradesPage.as_view(), name="trades"),
    path("portfolio", lists.PortfolioPage.as_view(), name="portfolio"),
    path("portfolio/panels/<slug:panel>", lists.PortfolioPanel.as_view(), name="portfolio-panel"),
    path("alerts", lists.AlertsPage.as_view(), name="alerts"),
]
