"""A trader with a bot, and fake adapters for exchange keys and markets."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from pytest_django import Settings

from apps.bots import rules
from apps.bots.adapters import Credential, LastPrice, PairRules
from apps.bots.models import Bot
from apps.bots.selectors import equity, performance, portfolio
from apps.core.terms import Mode
from apps.exchange.errors import IntervalNotOffered
from tests.factories.bots import BotFactory, TraderClient
from tests.factories.live import live_trading


@pytest.fixture(autouse=True)
def _market(market_of_its_own: None) -> None:
    """No test sees market data that another one has cached."""


@dataclass
class World:
    """Fake of `apps.bots.adapters`: keys by owner, and the pairs of each mode's exchange."""

    keys: dict[tuple[UUID, UUID], Credential] = field(default_factory=dict)
    pairs: dict[tuple[str, str], PairRules] = field(default_factory=dict)
    refused_intervals: set[tuple[str, str, int]] = field(default_factory=set)
    price: LastPrice | None = None
    closes: list[tuple[datetime, Decimal]] = field(default_factory=list)

    def add_key(self, user_id: UUID, *, mode: Mode = Mode.PAPER, is_active: bool = True) -> UUID:
        credential = Credential(id=uuid4(), mode=mode, is_active=is_active)
        self.keys[user_id, credential.id] = credential
        return credential.id

    def disable_key(self, user_id: UUID, credential_id: UUID) -> None:
        self.keys[user_id, credential_id] = replace(self.keys[user_id, credential_id], is_active=False)

    def add_bot(self, user_id: UUID, **fields: object) -> Bot:
        mode: Mode = Mode.LIVE if fields.get("mode") == Mode.LIVE else Mode.PAPER
        return BotFactory.create(user_id=user_id, credential_id=self.add_key(user_id, mode=mode), **fields)

    def credential_find(self, *, credential_id: UUID, user_id: UUID) -> Credential | None:
        return self.keys.get((user_id, credential_id))

    def pair_rules_kept(self, *, pair: str, mode: str) -> PairRules | None:
        return self.pairs.get((mode, pair))

    def pair_rules(self, *, pair: str, mode: str, now: datetime) -> PairRules | None:
        return self.pairs.get((mode, pair))

    def interval_check(self, *, pair: str, interval_minutes: int, mode: str, now: datetime) -> None:
        if (mode, pair, interval_minutes) in self.refused_intervals:
            raise IntervalNotOffered(pair=pair, interval_minutes=interval_minutes)

    def is_delisted(self, *, pair: str, mode: str) -> bool:
        return (mode, pair) not in self.pairs

    def last_price(self, *, pair: str, mode: str, now: datetime) -> LastPrice | None:
        return self.price

    def closes_by_clock(self, **_: object) -> list[tuple[datetime, Decimal]]:
        return self.closes

    def set_price(self, price: str, as_of: datetime) -> None:
        self.price = LastPrice(Decimal(price), as_of)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    xbt = PairRules("XBTUSD", "XBT", "USD", order_minimum=Decimal("0.00005"), cost_minimum=Decimal("0.5"))
    world.pairs = {("paper", "XBTUSD"): xbt, ("live", "XBTUSD"): xbt}
    monkeypatch.setattr(rules, "credential_find", world.credential_find)
    monkeypatch.setattr(rules, "pair_rules", world.pair_rules)
    monkeypatch.setattr(rules, "pair_rules_kept", world.pair_rules_kept)
    monkeypatch.setattr(rules, "interval_check", world.interval_check)
    monkeypatch.setattr(rules, "is_delisted", world.is_delisted)
    monkeypatch.setattr(performance, "pair_rules_kept", world.pair_rules_kept)
    monkeypatch.setattr(performance, "last_price", world.last_price)
    monkeypatch.setattr(portfolio, "last_price", world.last_price)
    monkeypatch.setattr(equity, "last_price", world.last_price)
    monkeypatch.setattr(equity, "closes_by_clock", world.closes_by_clock)
    return world


@pytest.fixture
def live_trading_on(settings: Settings, db: None) -> None:
    live_trading(settings, True)


@pytest.fixture
def trader() -> TraderClient:
    return TraderClient()


@pytest.fixture
def bot(world: World, trader: TraderClient) -> Bot:
    return world.add_bot(trader.user_id)
