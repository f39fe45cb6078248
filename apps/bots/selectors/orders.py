"""Orders of a user's bots, with what was observed of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.bots.errors import OrderNotFound
from apps.bots.models import BotOrder, BotTrade, OrderStep

# Who of the staff resolved an order is for the staff; the user learns that an operator did.
_OF_THE_STAFF = ("operator", "operator_id")


@dataclass(frozen=True)
class OrderDetail:
    """An order, the steps of its life and its fills, both oldest first."""

    order: BotOrder
    history: list[OrderStep]
    trades: list[BotTrade]


def order_list(
    *,
    user_id: UUID,
    bot_id: UUID | None = None,
    pair: str | None = None,
    side: str | None = None,
    mode: str | None = None,
    state: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[BotOrder]:
    """A user's orders, for pagination; those planned from `since` on and before `until`."""
    filters = {
        "bot_id": bot_id,
        "pair": pair,
        "side": side,
        "mode": mode,
        "state": state,
        "planned_at__gte": since,
        "planned_at__lt": until,
    }
    return BotOrder.objects.filter(user_id=user_id, **{name: it for name, it in filters.items() if it is not None})


def order_get(*, order_id: UUID, user_id: UUID) -> OrderDetail:
    """Raises OrderNotFound, also for an order of another user."""
    order = BotOrder.objects.filter(order_id=order_id, user_id=user_id).first()
    if order is None:
        raise OrderNotFound("There is no such order.")
    return OrderDetail(
        order=order,
        history=list(OrderStep.objects.filter(order_id=order_id).order_by("seq")),
        trades=list(BotTrade.objects.filter(bot_id=order.bot_id, order_id=order_id).order_by("seq")),
    )


def evidence_shown(evidence: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Evidence of an order as its owner may see it."""
    return [
        {name: fact for name, fact in entry.items() if name not in _OF_THE_STAFF}
        | ({"by": "operator"} if "operator" in entry else {})
        for entry in evidence
    ]
