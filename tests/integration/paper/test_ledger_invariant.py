"""Random orders on a random market: the ledger balances after every step."""

import random
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.paper import selectors
from apps.paper.engine.orders import OrderType, Side, TimeInForce
from apps.paper.engine.rules import OrderTerms
from apps.paper.errors import KrakenRefusal
from apps.paper.models import LIVE, LedgerEntry, Order, Trade, Wallet
from apps.paper.services.orders import Amendment, account_settle, order_amend, order_place, orders_cancel_all
from tests.integration.paper.conftest import FakeClock, OpenAccount, Replaying
from tests.unit.paper.builders import COIN, XBTUSD, Row

pytestmark = pytest.mark.django_db

# Swings between 970 and 1030 so that resting orders of both sides are reached.
SWINGING: list[Row] = [(10_000, 10_300, 9_700, 10_000 + (index % 3 - 1) * 150, 30 * COIN, 60) for index in range(60)]
DEPOSITS = {"ZUSD": Decimal(5_000), "XXBT": Decimal(3)}

orders = st.fixed_dictionaries(
    {
        "side": st.sampled_from(Side),
        "volume": st.integers(COIN // 100, 3 * COIN).map(lambda lots: Decimal(lots).scaleb(-8)),
        "limit": st.integers(9_600, 10_400).map(lambda ticks: Decimal(ticks).scaleb(-1)) | st.none(),
        "how": st.sampled_from(["GTC", "GTC", "post", "IOC", "FOK"]),
    }
)
steps = st.lists(
    st.tuples(st.integers(0, 1), st.just("place"), orders)
    | st.tuples(st.integers(0, 1), st.just("wait"), st.integers(1, 90))
    | st.tuples(st.integers(0, 1), st.just("amend"), st.integers(9_600, 10_400))
    | st.tuples(st.integers(0, 1), st.just("cancel"), st.none()),
    min_size=3,
    max_size=12,
)


@pytest.fixture
def _swinging_market(market: Replaying) -> Path:
    return market(SWINGING)


@pytest.mark.usefixtures("_swinging_market")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=steps)
def test_the_books_balance_after_every_step(open_account: OpenAccount, script: list[tuple[int, str, Any]]) -> None:
    with transaction.atomic():
        _play(open_account, script)
        transaction.set_rollback(True)


@pytest.mark.usefixtures("_swinging_market")
def test_the_books_balance_through_a_long_day(open_account: OpenAccount) -> None:
    dice = random.Random(4)
    script: list[tuple[int, str, Any]] = []
    for _ in range(120):
        order = {
            "side": dice.choice(list(Side)),
            "volume": Decimal(dice.randint(COIN // 100, COIN // 2)).scaleb(-8),
            "limit": dice.choice([None, *[Decimal(dice.randint(9_650, 10_350)).scaleb(-1)] * 5]),
            "how": dice.choice(["GTC", "GTC", "post", "IOC", "FOK"]),
        }
        action = dice.choice(["place", "place", "place", "wait", "wait", "amend", "cancel"])
        details = {"place": order, "wait": dice.randint(1, 40), "amend": dice.randint(9_650, 10_350), "cancel": None}
        script.append((dice.randint(0, 1), action, details[action]))

    _play(open_account, script)

    # Everything that changes balances or holds happened at least once.
    statuses = set(Order.objects.values_list("status", flat=True))
    assert {"open", "closed", "canceled"} <= statuses
    assert Trade.objects.filter(is_maker=True).count() > 20
    assert Trade.objects.filter(is_maker=False).count() > 20
    assert Order.objects.filter(status="canceled", filled__gt=0).exists()
    assert Order.objects.exclude(amend_id="").exists()
    assert Wallet.objects.filter(held__gt=0).exists()


def _play(open_account: OpenAccount, script: list[tuple[int, str, Any]]) -> None:
    clock = FakeClock()
    traders = [open_account(usd="5000", btc="3").account.id for _ in range(2)]
    for who, action, detail in script:
        # The ledger must balance after a refusal too.
        with suppress(KrakenRefusal), transaction.atomic():
            _act(traders[who], action, detail, clock)
        _assert_books_balance(len(traders))


def _act(account_id: Any, action: str, detail: Any, clock: FakeClock) -> None:
    if action == "place":
        is_limit = detail["limit"] is not None
        terms = OrderTerms(
            pair=XBTUSD,
            side=detail["side"],
            kind=OrderType.LIMIT if is_limit else OrderType.MARKET,
            volume=detail["volume"],
            limit=detail["limit"],
            time_in_force=TimeInForce(detail["how"]) if is_limit and detail["how"] != "post" else TimeInForce.GTC,
            post_only=is_limit and detail["how"] == "post",
        )
        order_place(account_id=account_id, terms=terms, clock=clock)
    elif action == "cancel":
        orders_cancel_all(account_id=account_id, clock=clock)
    elif action == "amend":
        for order in selectors.open_order_list(account_id, userref=None, cl_ord_id=None)[:1]:
            amendment = Amendment(limit=Decimal(detail).scaleb(-1), volume=order.volume * 2)
            order_amend(
                account_id=account_id, reference=order.txid, by_client_id=False, amendment=amendment, clock=clock
            )
    else:
        clock.move(detail)
        account_settle(account_id=account_id, clock=clock)


def _assert_books_balance(traders: int) -> None:
    # Balances are what was posted, and postings are deposits, trades and fees.
    for asset, (posted, balances) in selectors.ledger_totals().items():
        deposits = DEPOSITS[asset] * traders
        assert posted == balances == deposits + _traded(asset) - _fees(asset), asset
    # The holds of wallets are those of live orders; the database ensures 0 <= held <= balance.
    for wallet in Wallet.objects.all():
        side = "buy" if wallet.asset == "ZUSD" else "sell"
        live = Order.objects.filter(account_id=wallet.account_id, status__in=LIVE, side=side)
        assert wallet.held == (live.aggregate(total=Sum("held"))["total"] or 0)
        last = LedgerEntry.objects.filter(account_id=wallet.account_id, asset=wallet.asset).latest("id")
        assert last.balance == wallet.balance
    # Orders are the sum of their trades.
    for order in Order.objects.all():
        sums = order.trades.aggregate(volume=Sum("volume"), cost=Sum("cost"), fee=Sum("fee"))
        assert (order.filled, order.cost, order.fee) == tuple(sums[name] or 0 for name in ("volume", "cost", "fee"))


def _traded(asset: str) -> Decimal:
    column, gains = ("cost", "sell") if asset == "ZUSD" else ("volume", "buy")
    total = Decimal(0)
    for side, amount in Trade.objects.order_by().values_list("side").annotate(total=Sum(column)):
        total += amount if side == gains else -amount
    return total


def _fees(asset: str) -> Decimal:
    return (Trade.objects.aggregate(total=Sum("fee"))["total"] or Decimal(0)) if asset == "ZUSD" else Decimal(0)
