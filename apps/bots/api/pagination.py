from apps.core.api.pagination import NewestFirstPagination


class CommandPagination(NewestFirstPagination):
    ordering = ("-requested_at", "-id")


class TradePagination(NewestFirstPagination):
    """Orders by the sequence number of the bot's events."""

    ordering = "-seq"


class OrderPagination(NewestFirstPagination):
    ordering = ("-planned_at", "-order_id")


class AccountTradePagination(NewestFirstPagination):
    ordering = ("-executed_at", "-trade_id")


class HaltPagination(NewestFirstPagination):
    ordering = ("-since", "-id")
