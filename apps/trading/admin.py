"""Trading on the staff site, read-only: orders and runs change by commands and by evidence of the exchange."""

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.trading import resolutions_admin  # noqa: F401  (registers its pages)
from apps.trading.models.exits import DueExit
from apps.trading.models.ledger import Fill, LedgerEntry, Position, Release
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun


@admin.register(BotRun)
class BotRunAdmin(ReadOnlyAdmin):
    list_display = ["id", "bot_id", "pair", "mode", "state", "started_at", "stopped_at", "trouble_code"]
    list_filter = ["state", "mode", "pair"]
    search_fields = ["id", "bot_id", "user_id", "credential_id"]
    date_hierarchy = "started_at"
    ordering = ["-started_at"]


@admin.register(OrderIntent)
class OrderIntentAdmin(ReadOnlyAdmin):
    list_display = ["cl_ord_id", "bot_id", "pair", "side", "volume", "price", "state", "state_code", "planned_at"]
    list_filter = ["state", "side", "pair"]
    search_fields = ["cl_ord_id", "txid", "bot_id", "id", "decision_id"]
    date_hierarchy = "planned_at"
    ordering = ["-planned_at"]
    list_select_related = False


@admin.register(DueExit)
class DueExitAdmin(ReadOnlyAdmin):
    list_display = ["run_id", "base_volume", "attempts", "next_attempt_at", "decided_at", "reason"]
    search_fields = ["run__bot_id", "decision_id"]
    ordering = ["next_attempt_at"]


@admin.register(Fill)
class FillAdmin(ReadOnlyAdmin):
    list_display = ["exchange_trade_id", "bot_id", "price", "volume", "cost", "fee", "executed_at"]
    search_fields = ["exchange_trade_id", "bot_id", "id"]
    date_hierarchy = "executed_at"
    ordering = ["-executed_at"]


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    list_display = [
        "bot_id",
        "credential_id",
        "pair",
        "base_volume",
        "quote_spent",
        "quote_fees",
        "base_reserved",
        "quote_reserved",
    ]
    list_filter = ["pair"]
    search_fields = ["bot_id", "credential_id"]
    ordering = ["bot_id"]


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin):
    list_display = ["bot_id", "credential_id", "pair", "volume", "reason", "released_at"]
    list_filter = ["reason", "pair"]
    search_fields = ["bot_id", "credential_id", "id"]
    ordering = ["-released_at"]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ["fill_id", "release_id", "bot_id", "account", "asset", "amount", "posted_at"]
    list_filter = ["account", "asset"]
    search_fields = ["bot_id", "fill__exchange_trade_id"]
    ordering = ["-posted_at"]
