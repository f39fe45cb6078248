"""The paper exchange on the staff site. Read-only: an edit by hand would unbalance the ledger."""

from django.contrib import admin

from apps.core.admin import LargeTableAdmin, ReadOnlyAdmin
from apps.core.staff.references import Related
from apps.paper.models import Account, LedgerEntry, Market, Order, Trade, Wallet


@admin.register(Market)
class MarketAdmin(ReadOnlyAdmin):
    list_display = ("pair", "started_at", "start_step", "settled_step", "candle_seconds")


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("id", "owner_id", "label", "fee_schedule", "created_at")
    search_fields = ("=id", "=owner_id", "label")


@admin.register(Wallet)
class WalletAdmin(ReadOnlyAdmin):
    list_display = ("account_id", "asset", "balance", "held")
    list_filter = ("asset",)
    search_fields = ("=account__id",)


@admin.register(Order)
class OrderAdmin(LargeTableAdmin):
    list_display = (
        "txid",
        "account_id",
        "pair",
        "side",
        "kind",
        "volume",
        "limit_price",
        "filled",
        "status",
        "opened_at",
    )
    list_filter = ("status", "side", "kind")
    search_keys = ("txid", "account_id")
    search_help_text = "The exchange's id of the order, or the whole id of its account"
    related = (Related("Trades", "paper.trade"), Related("Order of the platform", "trading.orderintent", "cl_ord_id"))


@admin.register(Trade)
class TradeAdmin(LargeTableAdmin):
    list_display = ("txid", "account_id", "pair", "side", "price", "volume", "fee", "is_maker", "traded_at")
    list_filter = ("side", "is_maker")
    search_keys = ("txid", "order_id", "account_id")
    search_help_text = "The exchange's id of the trade, or the whole id of its account"


@admin.register(LedgerEntry)
class LedgerEntryAdmin(LargeTableAdmin):
    list_display = ("ledger_id", "account_id", "kind", "asset", "amount", "fee", "balance", "posted_at")
    list_filter = ("kind",)
    search_keys = ("ledger_id", "refid", "account_id")
    search_help_text = "An id of the exchange, or the whole id of the account"
