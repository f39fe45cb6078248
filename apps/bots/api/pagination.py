from apps.core.api.pagination import NewestFirstPagination


class TradePagination(NewestFirstPagination):
    """By the bot's own count of its events."""

    ordering = "-seq"


class AccountTradePagination(NewestFirstPagination):
    ordering = ("-executed_at", "-trade_id")
