"""The paper exchange on the staff site. Read-only: an edit by hand would unbalance the ledger."""

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
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
class OrderAdmin(ReadOnlyAdmin):
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
    list_filter = ("status", "pair", "side", "kind")
    search_fields = ("=txid", "=cl_ord_id", "=account__id")


@admin.register(Trade)
class TradeAdmin(ReadOnlyAdmin):
    list_display = ("txid", "account_id", "pair", "side", "price", "volume", "fee", "is_maker", "traded_at")
    list_filter = ("pair", "side", "is_maker")
    search_fields = ("=txid", "=account__id")


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("ledger_id", "account_id", "kind", "asset", "amount", "fee", "balance", "posted_at")
    list_filter = ("kind", "asset")
    search_fields = ("=ledger_id", "=refid", "=account__id")
