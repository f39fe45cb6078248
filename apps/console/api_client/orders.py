"""Orders, each step of their lives with what was observed. Prices in the quote asset, volumes in the base asset."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.console.api_client.base import Answer, Api
from apps.console.api_client.lists import Page, given
from apps.console.api_client.trades import Trade


class Order(Answer):
    id: UUID
    bot_id: UUID
    command_id: UUID | None
    client_order_id: str
    exchange_order_id: str
    mode: str
    strategy: str
    pair: str
    side: str
    kind: str
    price: Decimal
    volume: Decimal
    filled_volume: Decimal
    filled_cost: Decimal
    filled_fee: Decimal
    state: str
    code: str
    reason: str
    attempt: int
    planned_at: datetime
    sent_at: datetime | None
    deadline: datetime | None
    cancel_requested_at: datetime | None
    ended_at: datetime | None
    changed_at: datetime

    @property
    def is_open(self) -> bool:
        return self.ended_at is None


class OrderStep(Answer):
    """One step: `evidence` is what was observed at it."""

    type: str
    state: str
    code: str
    filled_volume: Decimal
    evidence: list[dict[str, Any]]
    at: datetime


class OrderDetail(Order):
    history: list[OrderStep]
    trades: list[Trade]


def orders(api: Api, *, limit: int = 50, **filters: str) -> Page[Order]:
    """`filters` as the API takes them; empty ones are left out."""
    return Page[Order].read(api.get("trading/orders", given(limit=limit, **filters)))


def order(api: Api, order_id: UUID) -> OrderDetail:
    return OrderDetail.model_validate(api.get(f"trading/orders/{order_id}"))
