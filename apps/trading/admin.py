"""Trading on the staff site, read-only: orders and runs change by commands and by evidence of the exchange."""

from django.contrib import admin

from apps.core.admin import LargeTableAdmin, ReadOnlyAdmin
from apps.core.staff.large_lists import Since, one_of
from apps.core.staff.references import Related
from apps.core.terms import Mode
from apps.trading import accounts_admin, resolutions_admin  # noqa: F401  (they register their pages)
from apps.trading.models.acceptances import BalanceAcceptance
from apps.trading.models.exits import DueExit
from apps.trading.models.ledger import Fill, LedgerEntry, Position, Release
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun


@admin.register(BotRun)
class BotRunAdmin(LargeTableAdmin):
    list_display = ("id", "bot_id", "user_id", "pair", "mode", "state", "started_at", "stopped_at", "trouble_code")
    list_filter = (Since, "state", one_of("mode", lambda: Mode.values))
    search_keys = ("pk", "bot_id", "credential_id", "start_command_id")
    related = (Related("Orders", "trading.orderintent"), Related("Events", "events.storedevent", "correlation_id"))


@admin.register(OrderIntent)
class OrderIntentAdmin(LargeTableAdmin):
    """Every order with its evidence. Those of unclear end are resolved on a page of their own."""

    list_display = ("cl_ord_id", "run_id", "bot_id", "pair", "side", "volume", "price", "state", "state_code",
                    "planned_at")  # fmt: skip
    list_filter = (Since, "state", "side")
    search_keys = ("pk", "cl_ord_id", "run_id", "bot_id", "command_id", "decision_id")
    search_help_text = "A whole id, also of its bot, run or command"
    related = (
        Related("Fills", "trading.fill"),
        Related("Steps and their events", "bots.orderstep"),
        Related("As its owner sees it", "bots.botorder"),
        Related("Resolve it", "trading.ordertoresolve", "cl_ord_id"),
        Related("Other attempts", "trading.orderintent", "decision_id"),
    )


@admin.register(DueExit)
class DueExitAdmin(ReadOnlyAdmin):
    list_display = ("run_id", "base_volume", "attempts", "next_attempt_at", "decided_at", "reason")
    search_fields = ("=run__id", "=run__bot_id", "=decision_id")
    ordering = ("next_attempt_at",)


@admin.register(Fill)
class FillAdmin(LargeTableAdmin):
    list_display = ("exchange_trade_id", "intent", "bot_id", "price", "volume", "cost", "fee", "executed_at")
    list_filter = (Since,)
    search_keys = ("pk", "intent_id", "bot_id")
    search_help_text = "A whole id, also of its order or bot"
    related = (
        Related("Ledger", "trading.ledgerentry"),
        Related("Steps of the order, and their events", "bots.orderstep", "intent_id"),
        Related("As its owner sees it", "bots.bottrade"),
    )


@admin.register(Position)
class PositionAdmin(LargeTableAdmin):
    list_display = ("pair", "bot_id", "credential_id", "base_volume", "quote_spent", "quote_fees", "base_reserved",
                    "quote_reserved")  # fmt: skip
    search_keys = ("bot_id",)
    search_help_text = "The whole id of its bot"


@admin.register(Release)
class ReleaseAdmin(LargeTableAdmin):
    list_display = ("pair", "bot_id", "credential_id", "volume", "reason", "released_at")
    list_filter = (Since, "reason")
    search_keys = ("pk", "bot_id")
    related = (Related("Ledger", "trading.ledgerentry"),)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(LargeTableAdmin):
    list_display = ("id", "fill_id", "release_id", "bot_id", "account", "asset", "amount", "posted_at")
    list_filter = ("account",)
    search_keys = ("fill_id", "release_id", "bot_id")
    search_help_text = "The whole id of its fill, release or bot"


@admin.register(BalanceAcceptance)
class BalanceAcceptanceAdmin(ReadOnlyAdmin):
    """What staff entered about balances that differed. It is entered on the page of the exchange account."""

    list_display = ("requested_at", "credential_id", "outcome", "operator", "because", "state", "code", "finished_at")
    list_filter = ("state", "requested_at")
    search_fields = ("=id", "=credential_id", "operator")
    ordering = ("-requested_at",)
