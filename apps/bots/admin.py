"""Bots on the staff site, read-only: owners change bots, and events change the read models."""

from django.contrib import admin

from apps.bots import halts_admin  # noqa: F401  (registers its page)
from apps.bots.models import (
    AccountTrade,
    Alert,
    Bot,
    BotCommand,
    BotOrder,
    BotStatus,
    BotTrade,
    OrderStep,
    PositionRelease,
    RunEvent,
    UserTrading,
)
from apps.core.admin import LargeTableAdmin
from apps.core.staff.large_lists import Since, one_of
from apps.core.staff.references import Related
from apps.core.terms import Mode
from apps.strategies.registry import all_strategies

BY_MODE = one_of("mode", lambda: Mode.values)
BY_STRATEGY = one_of("strategy", lambda: [each.strategy for each in all_strategies()])
ID_OR_ADDRESS = "A whole id, or its owner's e-mail address"
# Lists of other domains that belong to a bot, by its id.
OF_A_BOT = (
    Related("Runs", "trading.botrun"),
    Related("Orders", "trading.orderintent"),
    Related("Fills", "trading.fill"),
    Related("Ledger", "trading.ledgerentry"),
    Related("Commands", "bots.botcommand"),
    Related("Reports", "bots.runevent"),
    Related("Halts", "risk.halt"),
    Related("Events", "events.storedevent"),
)


@admin.register(Bot)
class BotAdmin(LargeTableAdmin):
    list_display = (
        "name",
        "user_id",
        "mode",
        "pair",
        "strategy",
        "quote_budget",
        "version",
        "created_at",
        "deleted_at",
    )
    list_filter = (Since, "mode", BY_STRATEGY, ("deleted_at", admin.EmptyFieldListFilter))
    search_keys = ("pk", "user_id")
    search_help_text = ID_OR_ADDRESS
    related = (Related("Status", "bots.botstatus"), *OF_A_BOT)


@admin.register(BotCommand)
class BotCommandAdmin(LargeTableAdmin):
    list_display = ("id", "kind", "bot_id", "user_id", "requested_at", "expires_at", "closed_at", "superseded_by_id")
    list_filter = (Since, "kind", ("closed_at", admin.EmptyFieldListFilter))
    search_keys = ("pk", "bot_id")
    related = (Related("Execution", "events.commandexecution"), Related("Orders", "trading.orderintent"))


@admin.register(BotStatus)
class BotStatusAdmin(LargeTableAdmin):
    list_display = ("bot_id", "user_id", "state", "since", "trades", "realised_pnl", "quote_asset", "error_code")
    list_filter = ("state",)
    search_keys = ("pk", "user_id")
    search_help_text = ID_OR_ADDRESS
    related = OF_A_BOT


@admin.register(RunEvent)
class RunEventAdmin(LargeTableAdmin):
    list_display = ("event_id", "bot_id", "seq", "state", "run_id", "reason", "at")
    list_filter = (Since, "state")
    search_keys = ("pk", "bot_id")
    related = (Related("Event", "events.storedevent"),)


@admin.register(BotOrder)
class BotOrderAdmin(LargeTableAdmin):
    list_display = ("order_id", "client_order_id", "user_id", "mode", "pair", "side", "volume", "price", "state",
                    "planned_at")  # fmt: skip
    list_filter = (Since, "state", BY_MODE, "side")
    search_keys = ("pk", "bot_id", "user_id")
    search_help_text = ID_OR_ADDRESS
    related = (
        Related("Order of the bot service", "trading.orderintent"),
        Related("Steps", "bots.orderstep"),
        Related("Trades", "bots.bottrade"),
    )


@admin.register(OrderStep)
class OrderStepAdmin(LargeTableAdmin):
    list_display = ("event_id", "order_id", "seq", "kind", "state", "code", "at")
    list_filter = (Since, "state")
    search_keys = ("pk", "order_id")
    related = (Related("Event", "events.storedevent"),)


@admin.register(BotTrade)
class BotTradeAdmin(LargeTableAdmin):
    list_display = ("trade_id", "bot_id", "mode", "pair", "side", "volume", "price", "fee", "realised_pnl",
                    "executed_at")  # fmt: skip
    list_filter = (Since, BY_MODE, "side", BY_STRATEGY)
    search_keys = ("pk", "bot_id", "order_id")
    related = (Related("Fill", "trading.fill"), Related("Steps of the order", "bots.orderstep", "order_id"))


@admin.register(PositionRelease)
class PositionReleaseAdmin(LargeTableAdmin):
    list_display = ("release_id", "bot_id", "volume", "at")
    list_filter = (Since,)
    search_keys = ("pk", "bot_id")


@admin.register(AccountTrade)
class AccountTradeAdmin(LargeTableAdmin):
    list_display = ("trade_id", "user_id", "mode", "pair", "side", "volume", "price", "fee", "bot_id", "executed_at")
    list_filter = (Since, BY_MODE, "side")
    search_keys = ("pk", "user_id")
    search_help_text = ID_OR_ADDRESS
    related = (Related("Fill", "trading.fill"),)


@admin.register(UserTrading)
class UserTradingAdmin(LargeTableAdmin):
    list_display = ("user_id", "registered_at", "trades", "last_trade_at")
    search_help_text = ID_OR_ADDRESS


@admin.register(Alert)
class AlertAdmin(LargeTableAdmin):
    list_display = ("id", "severity", "kind", "code", "user_id", "bot_id", "occurred_at")
    list_filter = (Since, "severity")
    search_keys = ("pk", "user_id")
    search_help_text = ID_OR_ADDRESS
