"""An empty cache, a fake exchange, and a trader's client."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from pytest_django import Settings
from rest_framework.test import APIClient

from apps.exchange.fake import XBTUSD, FakeExchange
from apps.exchange.types import Candle, Ticker
from apps.market import cache as market_cache
from tests.factories.exchange import use_fake_exchange
from tests.factories.vault import client_of


class CountingExchange(FakeExchange):
    """Counts calls. In tests that commit, it also fails the test for a call inside a transaction."""

    def __init__(self, *, is_watchful: bool, **options: Any) -> None:
        super().__init__(**options)
        self.asked = 0
        self._is_watchful = is_watchful

    def _read(self) -> None:
        assert not (self._is_watchful and connection.in_atomic_block), "an exchange is asked inside a transaction"
        self.asked += 1
        super()._read()

    def ticker(self, pair: str) -> Ticker:
        assert pair == XBTUSD.altname, "one name for the exchange, whatever the client called it"
        return super().ticker(pair)


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
def _cache_of_its_own(settings: Settings) -> Iterator[None]:
    settings.CACHES = {"default": {**settings.CACHES["default"], "KEY_PREFIX": f"test-{uuid4().hex}"}}
    market_cache.forget_all()
    yield
    market_cache.forget_all()


@pytest.fixture
def fake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> CountingExchange:
    marker = request.node.get_closest_marker("django_db")
    commits = marker is not None and marker.kwargs.get("transaction", False)
    fake = CountingExchange(price=Decimal("50000.0"), is_watchful=commits)
    fake.set_candles([candle(hour, f"{50_000 + hour}.0") for hour in range(5)])
    use_fake_exchange(monkeypatch, fake)
    return fake


@pytest.fixture
def client() -> APIClient:
    return client_of(uuid4())
