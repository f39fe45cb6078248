"""Requests to an exchange, and a way to put the fake one in its place."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from factory.base import Factory
from factory.declarations import Sequence

from apps.core.terms import Side
from apps.exchange import factory as exchange_factory
from apps.exchange.types import OrderRequest, OrderType
from tests.factories.fake_exchange import FakeExchange


class OrderRequestFactory(Factory[OrderRequest]):
    """A limit order for a thousandth of a bitcoin."""

    class Meta:
        model = OrderRequest

    pair = "XBTUSD"
    side = Side.BUY
    order_type = OrderType.LIMIT
    volume = Decimal("0.001")
    price = Decimal("50000.0")
    client_order_id = Sequence(lambda number: f"mk-test-{number}")  # type: ignore[no-untyped-call]
    # Far ahead: the deadline on the wire follows from the moment of sending.
    deadline = datetime(2099, 1, 1, 0, 0, 5, tzinfo=UTC)


def market_order(**fields: object) -> OrderRequest:
    order: OrderRequest = OrderRequestFactory.create(order_type=OrderType.MARKET, price=None, **fields)
    return order


def use_fake_exchange(monkeypatch: pytest.MonkeyPatch, fake: FakeExchange) -> FakeExchange:
    """Every exchange that is opened from now on is this one, whatever the credential."""
    monkeypatch.setattr(exchange_factory, "KrakenExchange", lambda **_: fake)
    return fake
