"""What a stream says of each change: the thing as it is now, in the form of the API's read of it."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework.utils.encoders import JSONEncoder

from apps.bots.api.serializers.commands import CommandReceiptSerializer
from apps.bots.api.serializers.orders import OrderSerializer
from apps.bots.api.serializers.status import AlertSerializer, StatusSerializer
from apps.bots.api.serializers.trading import TradeSerializer
from apps.bots.models import Alert, Bot, BotCommand, BotOrder, BotTrade
from apps.bots.models.stream import StreamKind
from apps.bots.selectors.bots import bot_views_with_dust
from apps.bots.selectors.command_receipts import command_receipts_of
from apps.bots.stream.journal import Entry
from apps.core.api.answers import shown

Key = tuple[UUID, UUID]
Shown = Iterator[tuple[Key, Any]]


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of the stream as its bytes, for the streams of one user; `noted_at` is when the change was made."""

    position: int
    user_id: UUID
    data: bytes
    noted_at: datetime


def frames_of(entries: Sequence[Entry], *, now: datetime) -> list[Frame]:
    """In the order of the entries, each kind by a constant number of queries.

    Several entries of one thing become the last of them, as they would all show what it is now. A thing that is not
    there any more, or is not the entry's user's, is left out.
    """
    last = {(entry.user_id, entry.kind, entry.subject_id): entry for entry in entries}
    wanted = sorted(last.values(), key=lambda entry: entry.position)
    by_kind: dict[str, list[UUID]] = defaultdict(list)
    for entry in wanted:
        by_kind[entry.kind].append(entry.subject_id)
    found = {kind: dict(_SHOW[kind](ids, now)) for kind, ids in by_kind.items()}
    return [
        Frame(entry.position, entry.user_id, event(entry.kind, body, position=entry.position), entry.noted_at)
        for entry in wanted
        if (body := found[entry.kind].get((entry.user_id, entry.subject_id))) is not None
    ]


def event(name: str, body: Any, *, position: int | None = None) -> bytes:
    """The bytes of one event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    line = json.dumps(body, cls=JSONEncoder, ensure_ascii=False, separators=(",", ":"))
    identified = "" if position is None else f"id: {position}\n"
    return f"{identified}event: {name}\ndata: {line}\n\n".encode()


def _statuses(bot_ids: Iterable[UUID], now: datetime) -> Shown:
    bots = list(Bot.objects.filter(id__in=bot_ids, deleted_at=None))
    for view in bot_views_with_dust(bots, now=now):
        yield (view.bot.user_id, view.bot.id), shown(StatusSerializer, view)


def _orders(order_ids: Iterable[UUID], _: datetime) -> Shown:
    for order in BotOrder.objects.filter(order_id__in=order_ids):
        yield (order.user_id, order.order_id), shown(OrderSerializer, order)


def _trades(trade_ids: Iterable[UUID], _: datetime) -> Shown:
    for trade in BotTrade.objects.filter(trade_id__in=trade_ids):
        yield (trade.user_id, trade.trade_id), shown(TradeSerializer, trade)


def _alerts(alert_ids: Iterable[UUID], _: datetime) -> Shown:
    for alert in Alert.objects.filter(id__in=alert_ids):
        yield (alert.user_id, alert.id), shown(AlertSerializer, alert)


def _receipts(command_ids: Iterable[UUID], now: datetime) -> Shown:
    for receipt in command_receipts_of(list(BotCommand.objects.filter(id__in=command_ids)), now=now):
        yield (receipt.command.user_id, receipt.command.id), shown(CommandReceiptSerializer, receipt)


_SHOW: dict[str, Callable[[Iterable[UUID], datetime], Shown]] = {
    StreamKind.STATUS: _statuses,
    StreamKind.ORDER: _orders,
    StreamKind.TRADE: _trades,
    StreamKind.ALERT: _alerts,
    StreamKind.RECEIPT: _receipts,
}
