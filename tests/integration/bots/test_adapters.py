"""The adapters of bots to vault and market data, with a fake exchange."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from apps.bots.adapters import (
    Credential,
    LastPrice,
    PairRules,
    credential_find,
    is_delisted,
    is_dust,
    last_price,
    pair_rules,
    pair_rules_kept,
)
from apps.bots.errors import UnknownPair
from apps.bots.models import Bot
from apps.bots.services.commands import bot_start
from apps.bots.services.definitions import bot_create
from apps.core.terms import Mode
from apps.exchange.errors import ExchangeUnavailable
from apps.market.cache import forget_all
from apps.market.errors import MarketDataUnavailable
from apps.market.models import MarketInstrument
from apps.market.selectors import ticker_get
from apps.market.services import instruments_store
from apps.vault.models import Credential as StoredKey
from apps.vault.permissions import NEEDED
from tests.factories.exchange import use_fake_exchange
from tests.factories.fake_account import XBTUSD
from tests.factories.fake_exchange import FakeExchange

pytestmark = pytest.mark.django_db

XBT_RULES = PairRules("XBTUSD", "XXBT", "ZUSD", order_minimum=Decimal("0.00005"), cost_minimum=Decimal("0.5"))


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch, settings: Any) -> FakeExchange:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    forget_all()
    return use_fake_exchange(monkeypatch, FakeExchange())


def store_key(user_id: UUID, *, state: str = "active", mode: str = "paper") -> UUID:
    is_gone = state == "disconnected"
    secret = None if is_gone else b"sealed"
    now = timezone.now()
    return StoredKey.objects.create(
        user_id=user_id,
        label=f"Key {uuid4()}",
        mode=mode,
        state=state,
        ciphertext=secret,
        nonce=secret,
        wrapped_key=secret,
        key_id="test",
        key_digest=uuid4().hex,
        key_hint="abcd",
        permissions=list(NEEDED),
        created_at=now,
        tested_at=now,
        disconnected_at=now if is_gone else None,
    ).id


@pytest.mark.parametrize(("state", "is_active"), [("active", True), ("suspended", False)])
@pytest.mark.parametrize("mode", ["paper", "live"])
def test_the_owners_key_is_found_with_its_mode_and_state(state: str, is_active: bool, mode: Any) -> None:
    user_id = uuid4()
    key_id = store_key(user_id, state=state, mode=mode)

    assert credential_find(credential_id=key_id, user_id=user_id) == Credential(key_id, mode, is_active)


def test_anothers_key_a_disconnected_one_and_none_look_alike() -> None:
    user_id = uuid4()
    for key_id in (store_key(uuid4()), store_key(user_id, state="disconnected"), uuid4()):
        assert credential_find(credential_id=key_id, user_id=user_id) is None


@pytest.mark.parametrize(
    ("volume", "price", "expected"),
    [
        ("0", "3100", False),
        ("0.00004", "50000", True),  # below the minimum volume of 0.00005
        ("0.0001", "3100", True),  # worth 0.31, below the minimum value of 0.5
        ("0.0001", "5000", False),
    ],
)
def test_a_volume_below_either_minimum_is_dust(exchange: FakeExchange, volume: str, price: str, expected: bool) -> None:
    instruments_store([XBTUSD], mode=Mode.PAPER, now=timezone.now())
    at = Decimal(price)
    assert is_dust(Decimal(volume), pair="XBTUSD", mode=Mode.PAPER, otherwise_at=at) is expected
    # The price of the market, where it is known, counts instead.
    exchange.set_price(at)
    ticker_get(pair="XBTUSD", mode=Mode.PAPER, now=timezone.now())
    assert is_dust(Decimal(volume), pair="XBTUSD", mode=Mode.PAPER, otherwise_at=Decimal(1)) is expected


@pytest.mark.parametrize("name", ["XBTUSD", "XXBTZUSD", "BTC/USD"])
def test_a_pair_is_known_by_each_of_its_names(exchange: FakeExchange, name: str) -> None:
    assert pair_rules(pair=name, mode=Mode.PAPER, now=timezone.now()) == XBT_RULES
    assert pair_rules_kept(pair=name, mode=Mode.PAPER) == XBT_RULES


def test_a_pair_of_one_exchange_is_not_known_on_the_other(exchange: FakeExchange) -> None:
    instruments_store([XBTUSD], mode=Mode.PAPER, now=timezone.now())

    assert pair_rules_kept(pair="XBTUSD", mode=Mode.LIVE) is None


def test_a_pair_that_is_not_listed_is_unknown(exchange: FakeExchange) -> None:
    assert pair_rules(pair="NOPEUSD", mode=Mode.PAPER, now=timezone.now()) is None


def test_a_known_pair_is_known_while_the_exchange_is_silent(exchange: FakeExchange) -> None:
    instruments_store([XBTUSD], mode=Mode.PAPER, now=timezone.now())
    exchange.fail_reads(*[ExchangeUnavailable("No answer.")] * 10)

    assert pair_rules(pair="XBTUSD", mode=Mode.PAPER, now=timezone.now()) == XBT_RULES


def test_without_any_list_a_silent_exchange_is_said_to_be_silent(exchange: FakeExchange) -> None:
    exchange.fail_reads(*[ExchangeUnavailable("No answer.")] * 10)

    with pytest.raises(MarketDataUnavailable):
        pair_rules(pair="XBTUSD", mode=Mode.PAPER, now=timezone.now())


def test_only_a_list_that_leaves_the_pair_out_delists_it() -> None:
    assert not is_delisted(pair="ETHUSD", mode=Mode.PAPER)
    instruments_store([XBTUSD], mode=Mode.PAPER, now=timezone.now())
    assert is_delisted(pair="ETHUSD", mode=Mode.PAPER)
    assert not is_delisted(pair="XBTUSD", mode=Mode.PAPER)


def test_the_last_price_comes_with_its_time(exchange: FakeExchange) -> None:
    now = timezone.now()
    exchange.prices["XBTUSD"] = Decimal("30123.4")

    assert last_price(pair="XBTUSD", mode=Mode.PAPER, now=now) == LastPrice(Decimal("30123.4"), now)


def test_there_is_no_price_of_a_silent_exchange_or_an_unknown_pair(exchange: FakeExchange) -> None:
    assert last_price(pair="NOPEUSD", mode=Mode.PAPER, now=timezone.now()) is None
    exchange.fail_reads(*[ExchangeUnavailable("No answer.")] * 10)
    assert last_price(pair="XBTUSD", mode=Mode.PAPER, now=timezone.now()) is None


def test_a_bot_is_defined_with_the_pairs_own_name_and_can_be_started_while_the_exchange_is_silent(
    exchange: FakeExchange,
) -> None:
    user_id = uuid4()
    bot = bot_create(
        user_id=user_id,
        name="Follower",
        credential_id=store_key(user_id),
        pair="BTC/USD",
        strategy="sma_cross",
        parameters={},
        interval_minutes=60,
        quote_budget=Decimal(100),
        now=timezone.now(),
    )
    assert Bot.objects.get().pair == "XBTUSD"

    exchange.fail_reads(*[ExchangeUnavailable("No answer.")] * 10)
    bot_start(bot_id=bot.id, user_id=user_id, now=timezone.now())


def test_a_bot_of_a_delisted_pair_cannot_be_started(exchange: FakeExchange) -> None:
    user_id = uuid4()
    bot = bot_create(
        user_id=user_id,
        name="Follower",
        credential_id=store_key(user_id),
        pair="XBTUSD",
        strategy="sma_cross",
        parameters={},
        interval_minutes=60,
        quote_budget=Decimal(100),
        now=timezone.now(),
    )
    MarketInstrument.objects.filter(altname="XBTUSD").update(altname="XBTEUR", code="XXBTZEUR", symbol="BTC/EUR")

    with pytest.raises(UnknownPair, match="any more"):
        bot_start(bot_id=bot.id, user_id=user_id, now=timezone.now())
