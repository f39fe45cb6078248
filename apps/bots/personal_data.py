"""What bots and their trading left of a user in the kraken service, for the export."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from apps.bots.models import (
    AccountTrade,
    Alert,
    Bot,
    BotCommand,
    BotOrder,
    BotTrade,
    OrderStep,
    PositionRelease,
    RunEvent,
)
from apps.core.batches import in_batches, with_children
from apps.core.personal_data import Row, Rows, register_exports


def register() -> None:
    """Registers the sections of the kraken service's bots."""
    sections: dict[str, Rows] = {
        "bots": _bots,
        "bot_commands": _commands,
        "bot_run_events": _run_events,
        "orders": _orders,
        "bot_trades": _bot_trades,
        "bot_releases": _releases,
        "trades": _trades,
        "alerts": _alerts,
    }
    register_exports("kraken", sections)


def _bots(user_id: UUID) -> Iterator[Row]:
    fields = ("id", "name", "credential_id", "mode", "pair", "strategy", "parameters", "interval_minutes",
              "quote_budget", "risk", "version", "created_at", "updated_at", "deleted_at")  # fmt: skip
    return in_batches(Bot.objects.filter(user_id=user_id), *fields, key=("id",))


def _of_each_bot(user_id: UUID, model: Any, *fields: str, key: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Bot by bot, where the table has an index for that."""
    for bot_id in list(Bot.objects.filter(user_id=user_id).order_by("id").values_list("id", flat=True)):
        yield from in_batches(model.objects.filter(bot_id=bot_id), *fields, key=key)


def _commands(user_id: UUID) -> Iterator[Row]:
    fields = ("id", "bot_id", "kind", "arguments", "requested_at", "expires_at", "closed_at", "superseded_by_id")
    return _of_each_bot(user_id, BotCommand, *fields, key=("requested_at", "id"))


def _run_events(user_id: UUID) -> Iterator[Row]:
    fields = ("bot_id", "seq", "state", "run_id", "command_id", "config_version", "reason", "at")
    return _of_each_bot(user_id, RunEvent, *fields, key=("seq",))


def _bot_trades(user_id: UUID) -> Iterator[Row]:
    fields = ("trade_id", "bot_id", "seq", "run_id", "order_id", "exchange_trade_id", "mode", "strategy", "pair",
              "side", "price", "volume", "cost", "fee", "realised_pnl", "position_volume", "position_cost",
              "market_time", "executed_at")  # fmt: skip
    return _of_each_bot(user_id, BotTrade, *fields, key=("seq",))


def _releases(user_id: UUID) -> Iterator[Row]:
    return _of_each_bot(user_id, PositionRelease, "release_id", "bot_id", "seq", "volume", "at", key=("seq",))


def _trades(user_id: UUID) -> Iterator[Row]:
    fields = ("trade_id", "credential_id", "bot_id", "order_id", "exchange_trade_id", "mode", "pair", "base_asset",
              "quote_asset", "side", "price", "volume", "cost", "fee", "executed_at")  # fmt: skip
    return in_batches(AccountTrade.objects.filter(user_id=user_id), *fields, key=("executed_at", "trade_id"))


def _alerts(user_id: UUID) -> Iterator[Row]:
    fields = ("id", "kind", "severity", "code", "message", "bot_id", "credential_id", "occurred_at")
    return in_batches(Alert.objects.filter(user_id=user_id), *fields, key=("id",))


def _orders(user_id: UUID) -> Iterator[Row]:
    """Each order with its steps and their evidence."""
    fields = ("order_id", "bot_id", "credential_id", "run_id", "command_id", "attempt", "client_order_id",
              "exchange_order_id", "mode", "strategy", "pair", "side", "kind", "price", "volume", "filled_volume",
              "filled_cost", "filled_fee", "state", "code", "reason", "market_time", "planned_at", "sent_at",
              "deadline", "cancel_requested_at", "ended_at", "changed_at")  # fmt: skip
    orders = in_batches(BotOrder.objects.filter(user_id=user_id), *fields, key=("planned_at", "order_id"))
    steps = ("seq", "kind", "state", "code", "filled_volume", "evidence", "at")
    in_order = OrderStep.objects.order_by("order_id", "seq")
    return with_children(orders, in_order, *steps, parent="order_id", key="order_id", name="steps")
