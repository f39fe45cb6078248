"""A stub exchange, and an adapter on it whose signing turns need no database."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count

import pytest

from apps.core.terms import Mode
from apps.exchange.budget import Budget
from apps.exchange.kraken import transport
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.kraken.exchange import KrakenExchange
from tests.factories.exchange_stub import KEY, SECRET, ExchangeStub, running_stub

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def stub() -> Iterator[ExchangeStub]:
    with running_stub() as running:
        yield running


@pytest.fixture
def exchange(stub: ExchangeStub, monkeypatch: pytest.MonkeyPatch) -> KrakenExchange:
    nonces = count(1_700_000_000_000_000_000)

    @contextmanager
    def turn(api_key: str, **_: bool) -> Iterator[int]:
        assert api_key == KEY
        yield next(nonces)

    monkeypatch.setattr(transport, "signing_turn", turn)
    # Suspensions are kept in the database (tests/integration/trading/test_refused_key.py).
    monkeypatch.setattr(transport.Transport, "suspend_key", lambda self, error: None)
    monkeypatch.setattr(Budget, "charge", lambda *_, **__: None)
    monkeypatch.setattr(Budget, "block", lambda *_: None)
    monkeypatch.setattr(transport, "utc_now", lambda: NOW)
    monkeypatch.setattr(transport, "PAUSES_SECONDS", (0.0,))
    policy = CallPolicy(connect_seconds=0.5, read_seconds=0.5)
    return KrakenExchange(mode=Mode.PAPER, url=stub.url, api_key=KEY, api_secret=SECRET, policy=policy)
