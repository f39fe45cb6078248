"""What runs left of a user in the bot service, for the export."""

from collections.abc import Iterator
from uuid import UUID

from apps.core.batches import in_batches, with_children
from apps.core.personal_data import Row, Rows, register_exports
from apps.trading.models.ledger import Fill, LedgerEntry, Position, Release
from apps.trading.models.runs import BotRun


def register() -> None:
    """Registers the sections of the bot service."""
    sections: dict[str, Rows] = {"runs": _runs, "positions": _positions, "fills": _fills, "releases": _releases}
    register_exports("bot", sections)


def _runs(user_id: UUID) -> Iterator[Row]:
    fields = ("id", "bot_id", "credential_id", "mode", "pair", "interval_minutes", "config", "state",
              "start_command_id", "stop_command_id", "requested_at", "started_at", "stopped_at",
              "decided_candle_at", "skip_reason", "trouble_code", "trouble_since")  # fmt: skip
    return in_batches(BotRun.objects.filter(user_id=user_id), *fields, key=("id",))


def _bot_ids(user_id: UUID) -> list[UUID]:
    """The bots that ever ran: others left nothing here."""
    return list(BotRun.objects.filter(user_id=user_id).order_by("bot_id").values_list("bot_id", flat=True).distinct())


def _positions(user_id: UUID) -> Iterator[Row]:
    fields = ("id", "bot_id", "credential_id", "pair", "base_asset", "quote_asset", "base_volume", "quote_spent",
              "quote_fees", "base_reserved", "base_missing", "quote_reserved", "updated_at")  # fmt: skip
    return in_batches(Position.objects.filter(bot_id__in=_bot_ids(user_id)), *fields, key=("id",))


def _releases(user_id: UUID) -> Iterator[Row]:
    fields = ("id", "bot_id", "credential_id", "command_id", "pair", "base_asset", "volume", "reason", "released_at")
    return in_batches(Release.objects.filter(bot_id__in=_bot_ids(user_id)), *fields, key=("id",))


def _fills(user_id: UUID) -> Iterator[Row]:
    """Each fill with its postings in the ledger."""
    fields = ("id", "intent_id", "bot_id", "credential_id", "exchange_trade_id", "price", "volume", "cost", "fee",
              "executed_at", "recorded_at")  # fmt: skip
    for bot_id in _bot_ids(user_id):
        fills = in_batches(Fill.objects.filter(bot_id=bot_id), *fields, key=("executed_at", "id"))
        postings = LedgerEntry.objects.order_by("fill_id", "id")
        told = ("account", "asset", "amount", "posted_at")
        yield from with_children(fills, postings, *told, parent="fill_id", key="id", name="postings")
