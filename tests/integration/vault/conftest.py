"""A user, an API client, and a fake exchange."""

from uuid import UUID, uuid4

import pytest
from django.db import connection
from rest_framework.test import APIClient

from apps.exchange.fake import FakeExchange
from apps.exchange.types import KeyInfo
from tests.factories.exchange import use_fake_exchange
from tests.factories.vault import client_of


class WatchedExchange(FakeExchange):
    """Fails the test if it is called inside a transaction."""

    def key_info(self) -> KeyInfo:
        assert not connection.in_atomic_block, "an exchange is asked inside a transaction"
        return super().key_info()


@pytest.fixture
def user_id() -> UUID:
    return uuid4()


@pytest.fixture
def client(user_id: UUID) -> APIClient:
    return client_of(user_id)


@pytest.fixture
def fake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeExchange:
    """The fake is watched only in tests that commit: the others run inside pytest's transaction."""
    marker = request.node.get_closest_marker("django_db")
    commits = marker is not None and marker.kwargs.get("transaction", False)
    return use_fake_exchange(monkeypatch, WatchedExchange() if commits else FakeExchange())
