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
from apps.core.admin import ReadOnlyAdmin


@admin.register(Bot)
class BotAdmin(ReadOnlyAdmin):
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
    list_filter = ("mode", "strategy", "pair", ("deleted_at", admin.EmptyFieldListFilter))
    search_fields = ("=id", "=user_id", "name")
    ordering = ("-id",)


@admin.register(BotCommand)
class BotCommandAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "bot", "user_id", "requested_at", "expires_at", "closed_at", "superseded_by_id")
    list_filter = ("kind", "requested_at", ("closed_at", admin.EmptyFieldListFilter))
    list_select_related = ("bot",)
    search_fields = ("=id", "=bot__id", "=user_id")
    ordering = ("-id",)


@admin.register(BotStatus)
class BotStatusAdmin(ReadOnlyAdmin):
    list_display = ("bot_id", "user_id", "state", "since", "trades", "realised_pnl", "quote_asset", "error_code")
    list_filter = ("state",)
    search_fields = ("=bot_id", "=user_id", "=run_id")


@admin.register(RunEvent)
class RunEventAdmin(ReadOnlyAdmin):
    list_display = ("event_id", "bot_id", "seq", "state", "run_id", "reason", "at")
    list_filter = ("state", "at")
    search_fields = ("=bot_id", "=run_id", "=command_id")
    ordering = ("-event_id",)


@admin.register(BotOrder)
class BotOrderAdmin(ReadOnlyAdmin):
    list_display = (
        "order_id",
        "client_order_id",
        "user_id",
        "mode",
        "pair",
        "side",
        "volume",
        "price",
        "state",
        "planned_at",
    )
    list_filter = ("state", "mode", "pair", "side", "planned_at")
    search_fields = ("=order_id", "=bot_id", "=run_id", "=user_id", "=client_order_id", "=exchange_order_id")
    ordering = ("-planned_at",)


@admin.register(OrderStep)
class OrderStepAdmin(ReadOnlyAdmin):
    list_display = ("event_id", "order_id", "seq", "kind", "state", "code", "at")
    list_filter = ("kind", "state", "at")
    search_fields = ("=order_id", "=event_id")
    ordering = ("-event_id",)


@admin.register(BotTrade)
class BotTradeAdmin(ReadOnlyAdmin):
    list_display = (
        "trade_id",
        "bot_id",
        "mode",
        "pair",
        "side",
        "volume",
        "price",
        "fee",
        "realised_pnl",
        "executed_at",
    )
    list_filter = ("mode", "pair", "side", "strategy", "executed_at")
    search_fields = ("=trade_id", "=bot_id", "=run_id", "=order_id", "=exchange_trade_id")
    ordering = ("-executed_at",)


@admin.register(PositionRelease)
class PositionReleaseAdmin(ReadOnlyAdmin):
    list_display = ("release_id", "bot_id", "volume", "at")
    list_filter = ("at",)
    search_fields = ("=release_id", "=bot_id")
    ordering = ("-at",)


@admin.register(AccountTrade)
class AccountTradeAdmin(ReadOnlyAdmin):
    list_display = ("trade_id", "user_id", "mode", "pair", "side", "volume", "price", "fee", "bot_id", "executed_at")
    list_filter = ("mode", "pair", "side", "executed_at")
    search_fields = ("=trade_id", "=user_id", "=credential_id", "=bot_id", "=order_id", "=exchange_trade_id")
    ordering = ("-executed_at",)


@admin.register(UserTrading)
class UserTradingAdmin(ReadOnlyAdmin):
    list_display = ("user_id", "registered_at", "trades", "last_trade_at")
    search_fields = ("=user_id",)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("id", "severity", "kind", "code", "user_id", "bot_id", "occurred_at")
    list_filter = ("severity", "kind", "occurred_at")
    search_fields = ("=id", "=user_id", "=bot_id", "=credential_id")
    ordering = ("-id",)
