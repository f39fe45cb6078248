from apps.core.api.pagination import NewestFirstPagination


class CommandPagination(NewestFirstPagination):
    ordering = ("-requested_at", "-id")


class TradePagination(NewestFirstPagination):
    """By the bot's own count of its events."""

    ordering = "-seq"


class AccountTradePagination(NewestFirstPagination):
    ordering = ("-executed_at", "-trade_id")
