"""A user, an API client, and a fake exchange."""

from uuid import UUID, uuid4

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.factories.exchange import use_fake_exchange
from tests.factories.fake_exchange import FakeExchange
from tests.factories.live import live_trading
from tests.factories.vault import client_of


@pytest.fixture(autouse=True)
def _live_trading_is_on(settings: Settings, db: None) -> None:
    live_trading(settings, True)


@pytest.fixture
def user_id() -> UUID:
    return uuid4()


@pytest.fixture
def client(user_id: UUID) -> APIClient:
    return client_of(user_id)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeExchange:
    """Refuses to be asked inside a transaction of the code."""
    fake = FakeExchange()
    fake.refuse_in_transactions()
    return use_fake_exchange(monkeypatch, fake)
