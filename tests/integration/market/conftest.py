"""An empty cache, a fake exchange, and a trader's client."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from apps.exchange.types import Candle
from tests.factories.exchange import use_fake_exchange
from tests.factories.fake_account import XBTUSD
from tests.factories.fake_exchange import FakeExchange
from tests.factories.vault import client_of


def refuse_other_names(pair: str) -> None:
    assert pair == XBTUSD.altname, "one name for the exchange, whatever the client called it"


def candle(hour: int, close: str) -> Candle:
    price = Decimal(close)
    return Candle(
        opened_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour),
        open=price,
        high=price,
        low=price,
        close=price,
        average=price,
        volume=Decimal("1.50"),
        trades=3,
    )


@pytest.fixture(autouse=True)
def _market(market_of_its_own: None) -> None:
    """No test sees market data that another one has cached."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeExchange:
    fake = FakeExchange(price=Decimal("50000.0"))
    fake.refuse_in_transactions()
    fake.on("ticker", before=refuse_other_names)
    fake.set_candles([candle(hour, f"{50_000 + hour}.0") for hour in range(5)])
    use_fake_exchange(monkeypatch, fake)
    return fake


@pytest.fixture
def client() -> APIClient:
    return client_of(uuid4())
