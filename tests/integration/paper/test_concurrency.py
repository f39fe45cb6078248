"""Concurrent transactions in threads: nothing is overspent, nothing deadlocks."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from apps.paper import selectors
from apps.paper.engine.orders import OrderType, Side
from apps.paper.engine.rules import OrderTerms
from apps.paper.errors import InsufficientFunds, InvalidNonce, KrakenRefusal
from apps.paper.instruments import CATALOGUE
from apps.paper.models import Account, ApiKey, Order, Wallet
from apps.paper.services.accounts import account_open
from apps.paper.services.keys import nonce_use
from apps.paper.services.markets import market_current
from apps.paper.services.orders import account_settle, order_place, orders_cancel_all
from tests.integration.paper.conftest import FakeClock, OpenAccount, balance, candle_file, held
from tests.unit.paper.builders import COIN, START, XBTUSD, Row, flat

pytestmark = pytest.mark.django_db(transaction=True)

SWINGING: list[Row] = [(10_000, 10_300, 9_700, 10_000, 300 * COIN, 60)] * 100


def _in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Runs the work in so many threads at once. A refusal counts as a result."""
    together = threading.Barrier(count)

    def run(number: int) -> Any:
        together.wait()
        try:
            return work(number)
        except KrakenRefusal as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def _limit(side: Side, price: str, volume: str, pair: str = "XBTUSD") -> OrderTerms:
    return OrderTerms(
        pair=CATALOGUE[pair], side=side, kind=OrderType.LIMIT, volume=Decimal(volume), limit=Decimal(price)
    )


def test_threads_cannot_spend_the_same_money_twice(flat_market: Path, open_account: OpenAccount) -> None:
    # 0.5 at 990.0 with its fee is 496.98: the money is enough for three of ten.
    account_id = open_account(usd="1500").account.id
    clock = FakeClock()

    results = _in_threads(
        10,
        lambda _: order_place(account_id=account_id, terms=_limit(Side.BUY, "990", "0.5"), clock=clock),
    )

    kinds = Counter(type(result) for result in results)
    assert kinds == {Order: 3, InsufficientFunds: 7}
    assert held(account_id, "ZUSD") == Decimal("1490.94")
    assert Order.objects.filter(status="open").count() == 3


def test_threads_on_two_pairs_cannot_spend_the_same_money_twice(
    settings: Settings, tmp_path: Path, open_account: OpenAccount
) -> None:
    for name in ("XBTUSD_60.csv", "ETHUSD_60.csv"):
        candle_file(tmp_path, [flat(10_000)] * 200, name)
    settings.MARKET_DATA, settings.MARKET_CANDLE_SECONDS, settings.MARKET_START_CANDLE = tmp_path, 30.0, 1
    account_id = open_account(usd="1500").account.id
    clock = FakeClock()

    def buy(number: int) -> Order:
        terms = _limit(Side.BUY, "990", "0.5", ("XBTUSD", "ETHUSD")[number % 2])
        return order_place(account_id=account_id, terms=terms, clock=clock)

    assert Counter(type(result) for result in _in_threads(10, buy)) == {Order: 3, InsufficientFunds: 7}
    assert held(account_id, "ZUSD") == Decimal("1490.94")


def test_market_orders_in_threads_leave_no_debt(flat_market: Path, open_account: OpenAccount) -> None:
    account_id = open_account(usd="1000").account.id
    clock = FakeClock()
    terms = OrderTerms(pair=XBTUSD, side=Side.BUY, kind=OrderType.MARKET, volume=Decimal("0.3"), limit=None)

    results = _in_threads(8, lambda _: order_place(account_id=account_id, terms=terms, clock=clock))

    assert sum(isinstance(result, Order) for result in results) == 3
    assert balance(account_id, "ZUSD") >= 0
    assert balance(account_id, "XXBT") == Decimal("0.9")


def test_a_nonce_is_used_once_however_many_send_it(flat_market: Path, open_account: OpenAccount) -> None:
    key = open_account().api_key.key

    results = _in_threads(8, lambda _: nonce_use(key=key, nonce="17", now=START))

    assert Counter(type(result) for result in results) == {type(None): 1, InvalidNonce: 7}
    assert ApiKey.objects.get().nonce == 17


def test_an_account_is_opened_once_and_answered_alike(flat_market: Path) -> None:
    owner = uuid4()

    def open_(_: int) -> tuple[str, str]:
        opened = account_open(owner_id=owner, label="x", deposits={"ZUSD": Decimal(5)}, now=START)
        return opened.api_key.key, opened.api_secret

    results = _in_threads(6, open_)

    assert len(set(results)) == 1
    assert Account.objects.count() == 1
    assert Wallet.objects.get().balance == 5


def test_the_first_look_from_many_threads_starts_one_market(flat_market: Path) -> None:
    rows = _in_threads(6, lambda number: market_current(pair="XBTUSD", clock=lambda: START + timedelta(number)))

    assert len({(row.started_at, row.start_step) for row in rows}) == 1


def test_traders_of_two_pairs_neither_deadlock_nor_break_the_books(
    settings: Settings, tmp_path: Path, open_account: OpenAccount
) -> None:
    for name in ("XBTUSD_60.csv", "ETHUSD_60.csv"):
        candle_file(tmp_path, SWINGING, name)
    settings.MARKET_DATA, settings.MARKET_CANDLE_SECONDS, settings.MARKET_START_CANDLE = tmp_path, 0.2, 1
    accounts = [open_account(usd="100000", btc="50").account.id for _ in range(4)]

    def trade(number: int) -> int:
        done = 0
        for turn in range(12):
            pair = ("XBTUSD", "ETHUSD")[(turn + number) % 2]
            side, price = (Side.BUY, "99.5") if pair == "ETHUSD" or turn % 3 else (Side.SELL, "1005")
            price = price if pair == "ETHUSD" or side is Side.SELL else "995"
            account_id = accounts[(number + turn) % 4]
            order_place(account_id=account_id, terms=_limit(side, price, "0.05", pair), clock=timezone.now)
            account_settle(account_id=accounts[number], clock=timezone.now)
            if turn % 5 == 4:
                orders_cancel_all(account_id=account_id, clock=timezone.now)
            done += 1
        return done

    assert _in_threads(4, trade) == [12] * 4
    for posted, balances in selectors.ledger_totals().values():
        assert posted == balances
    for wallet in Wallet.objects.all():
        side = "buy" if wallet.asset == "ZUSD" else "sell"
        base = {"XXBT": ["XBTUSD"], "XETH": ["ETHUSD"]}.get(wallet.asset, ["XBTUSD", "ETHUSD"])
        live = Order.objects.filter(account_id=wallet.account_id, status="open", side=side, pair__in=base)
        assert wallet.held == sum(order.held for order in live)
    assert Order.objects.filter(filled__gt=0).exists()
