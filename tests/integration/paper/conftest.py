from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings as django_settings
from pydantic import SecretStr
from pytest_django import Settings

from apps.paper.engine.orders import OrderType, Side
from apps.paper.engine.rules import OrderTerms
from apps.paper.models import Order, Wallet
from apps.paper.services.accounts import OpenedAccount, account_open
from apps.paper.services.orders import Amendment, account_settle, order_amend, order_cancel, order_place
from service_common.settings.factory import MIDDLEWARE
from tests.factories.service_tokens import call_as
from tests.unit.paper.builders import COIN, FIRST_TIME, HOUR, START, XBTUSD, Row, flat

VAULT_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@dataclass
class FakeClock:
    """A clock that only moves when the test moves it."""

    now: datetime = START
    started_at: datetime = field(default=START)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def _paper_environment(settings: Settings) -> None:
    # The settings of platform/paper_exchange; tests run with those of the staff site.
    settings.MIDDLEWARE = MIDDLEWARE
    settings.ENVIRONMENT = django_settings.ENVIRONMENT.model_copy(update={"vault_key": SecretStr(VAULT_KEY)})
    call_as(settings)


def candle_file(folder: Path, rows: Sequence[Row], name: str = "XBTUSD_60.csv") -> Path:
    """The rows of a test's market as a dump file."""
    path = folder / name
    lines = [
        f"{FIRST_TIME + index * HOUR},{o / 10},{h / 10},{low / 10},{c / 10},{Decimal(volume).scaleb(-8):f},{trades}"
        for index, (o, h, low, c, volume, trades) in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


Replaying = Callable[..., Path]


@pytest.fixture
def market(settings: Settings, tmp_path: Path) -> Replaying:
    """Replays the rows from the second candle on; with 30 seconds a candle, a step of the path is a second."""

    def play(rows: Sequence[Row], *, candle_seconds: float = 30.0) -> Path:
        path = candle_file(tmp_path, rows)
        settings.MARKET_DATA = path
        settings.MARKET_CANDLE_SECONDS = candle_seconds
        settings.MARKET_START_CANDLE = 1
        return path

    return play


@pytest.fixture
def flat_market(market: Replaying) -> Path:
    """A constant price of 1000.0: best bid 999.9, best ask 1000.1."""
    return market([flat(10_000)] * 200)


OpenAccount = Callable[..., OpenedAccount]


@pytest.fixture
def open_account() -> OpenAccount:
    def open_(usd: str = "10000", btc: str = "0", **more: Any) -> OpenedAccount:
        deposits = {name: Decimal(amount) for name, amount in (("ZUSD", usd), ("XXBT", btc)) if Decimal(amount)}
        more = {"owner_id": uuid4(), "label": "test", "deposits": deposits, "now": START, **more}
        return account_open(**more)

    return open_


def balance(account_id: UUID, asset: str) -> Decimal:
    amount: Decimal = Wallet.objects.get(account_id=account_id, asset=asset).balance
    return amount


def held(account_id: UUID, asset: str) -> Decimal:
    amount: Decimal = Wallet.objects.get(account_id=account_id, asset=asset).held
    return amount


# Stands at 1000.0, then falls to 980.0 and recovers within one candle, 30 to 60 seconds after the start.
DIP: list[Row] = [flat(10_000), flat(10_000), (10_000, 10_000, 9_800, 10_000, 300 * COIN, 60), *[flat(10_000)] * 20]


def terms(**changes: Any) -> OrderTerms:
    """Buys half a bitcoin at 990.0, unless told otherwise."""
    wanted: dict[str, Any] = {
        "pair": XBTUSD,
        "side": Side.BUY,
        "kind": OrderType.LIMIT,
        "volume": Decimal("0.5"),
        "limit": Decimal(990),
    }
    return OrderTerms(**{**wanted, **changes})


def market_terms(side: Side, volume: str) -> OrderTerms:
    return terms(kind=OrderType.MARKET, side=side, volume=Decimal(volume), limit=None)


class Trader:
    """An account of the exchange, with the order services called for it."""

    def __init__(self, opened: OpenedAccount, clock: FakeClock) -> None:
        self.id = opened.account.id
        self.clock = clock

    def place(self, wanted: OrderTerms) -> Order:
        return order_place(account_id=self.id, terms=wanted, clock=self.clock)

    def amend(self, reference: str, *, by_client_id: bool = False, **changes: Any) -> Order:
        amendment = Amendment(**changes)
        return order_amend(
            account_id=self.id, reference=reference, by_client_id=by_client_id, amendment=amendment, clock=self.clock
        )

    def cancel(self, reference: str, *, by_client_id: bool = False) -> int:
        return order_cancel(account_id=self.id, reference=reference, by_client_id=by_client_id, clock=self.clock)

    def settle(self) -> None:
        account_settle(account_id=self.id, clock=self.clock)

    def balance(self, asset: str) -> Decimal:
        return balance(self.id, asset)

    def held(self, asset: str) -> Decimal:
        return held(self.id, asset)


@pytest.fixture
def trader(open_account: OpenAccount, clock: FakeClock) -> Trader:
    return Trader(open_account(usd="10000", btc="1"), clock)


def fresh(order: Order) -> Order:
    return Order.objects.get(pk=order.pk)
