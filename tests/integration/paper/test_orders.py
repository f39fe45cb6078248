"""Placing, amending and canceling orders, on a clock that the test moves."""

from datetime import timedelta
from decimal import Decimal

import pytest

from apps.paper import selectors
from apps.paper.engine.orders import Side, TimeInForce
from apps.paper.errors import (
    ClientOrderIdInUse,
    InsufficientFunds,
    InvalidOrder,
    OrdersLimitExceeded,
    PostOnlyOrder,
    UnknownOrder,
)
from apps.paper.models import LedgerEntry, Order, Trade
from apps.paper.services import orders as order_services
from apps.paper.services.orders import (
    orders_cancel_all,
)
from tests.integration.paper.conftest import DIP, FakeClock, OpenAccount, Replaying, Trader, fresh, market_terms, terms
from tests.unit.paper.builders import START

pytestmark = pytest.mark.django_db


class TestTaking:
    @pytest.fixture(autouse=True)
    def _market(self, flat_market: object) -> None: ...

    def test_a_market_buy_is_done_when_it_returns(self, trader: Trader) -> None:
        order = trader.place(market_terms(Side.BUY, "0.5"))

        assert (order.status, order.filled) == ("closed", Decimal("0.5"))
        assert (order.cost, order.fee) == (Decimal("500.05"), Decimal("2.0002"))
        assert trader.balance("ZUSD") == Decimal("10000") - Decimal("502.0502")
        assert trader.balance("XXBT") == Decimal("1.5")
        assert trader.held("ZUSD") == 0

    def test_each_fill_is_a_trade_with_two_postings_under_its_id(self, trader: Trader) -> None:
        order = trader.place(market_terms(Side.SELL, "0.5"))

        trade = Trade.objects.get()
        assert (trade.order_id, trade.price, trade.is_maker) == (order.pk, Decimal("999.9"), False)
        entries = LedgerEntry.objects.filter(refid=trade.txid).order_by("id")
        assert [(entry.asset, entry.amount, entry.fee, entry.balance) for entry in entries] == [
            ("XXBT", Decimal("-0.5"), Decimal(0), Decimal("0.5")),
            ("ZUSD", Decimal("499.95"), Decimal("1.9998"), Decimal("10497.9502")),
        ]

    def test_what_one_account_took_another_does_not_get_within_the_candle(
        self, trader: Trader, open_account: OpenAccount, clock: FakeClock
    ) -> None:
        other = Trader(open_account(), clock)
        first = trader.place(market_terms(Side.BUY, "0.9"))
        second = other.place(market_terms(Side.BUY, "0.9"))
        clock.move(30)
        third = other.place(market_terms(Side.BUY, "0.9"))

        assert second.cost > first.cost
        assert third.cost < second.cost

    def test_a_marketable_limit_order_takes_first_and_then_holds_for_its_rest(self, trader: Trader) -> None:
        order = trader.place(terms(limit=Decimal("1000.1"), volume=Decimal(2)))

        assert order.status == "open"
        assert 0 < order.filled < 2
        assert order.held == trader.held("ZUSD") > 0
        assert all(trade.price == Decimal("1000.1") for trade in Trade.objects.all())

    def test_funds_must_cover_the_limit_and_the_taker_fee(self, open_account: OpenAccount, clock: FakeClock) -> None:
        # 0.5 at 990 and 0.4 % of it: 496.98
        enough, short = Trader(open_account(usd="496.98"), clock), Trader(open_account(usd="496.97"), clock)

        assert enough.place(terms()).held == Decimal("496.98")
        with pytest.raises(InsufficientFunds):
            short.place(terms())
        assert Order.objects.filter(account_id=short.id).count() == 0

    def test_what_is_held_cannot_be_spent(self, trader: Trader) -> None:
        trader.place(terms(side=Side.SELL, volume=Decimal("0.8"), limit=Decimal(1100)))

        with pytest.raises(InsufficientFunds):
            trader.place(market_terms(Side.SELL, "0.3"))
        assert trader.balance("XXBT") == 1

    def test_an_ioc_remainder_and_an_unfillable_fok_are_canceled(self, trader: Trader) -> None:
        ioc = trader.place(terms(volume=Decimal(2), limit=Decimal("1000.1"), time_in_force=TimeInForce.IOC))
        fok = trader.place(terms(volume=Decimal(3), limit=Decimal("1000.2"), time_in_force=TimeInForce.FOK))

        assert (ioc.status, ioc.held) == ("canceled", 0)
        assert 0 < ioc.filled < 2
        assert (fok.status, fok.filled) == ("canceled", 0)
        assert trader.held("ZUSD") == 0

    def test_a_post_only_order_that_would_take_ends_without_a_trade(self, trader: Trader) -> None:
        order = trader.place(terms(limit=Decimal(1001), post_only=True))

        assert (order.status, order.reason) == ("canceled", "Post only order")
        assert Trade.objects.count() == 0

    def test_fees_follow_the_volume_of_the_last_30_days(self, open_account: OpenAccount, clock: FakeClock) -> None:
        rich = Trader(open_account(usd="100000", btc="100"), clock)
        for _ in range(11):
            assert rich.place(market_terms(Side.SELL, "1")).taker_rate == Decimal("0.004")
            clock.move(30)
        later = rich.place(market_terms(Side.SELL, "1"))

        assert selectors.volume_30_days(rich.id, now=clock.now) > 10_000
        assert (later.taker_rate, later.maker_rate) == (Decimal("0.0035"), Decimal("0.0020"))
        assert selectors.volume_30_days(rich.id, now=clock.now + timedelta(days=31)) == 0


class TestReferences:
    @pytest.fixture(autouse=True)
    def _market(self, flat_market: object) -> None: ...

    def test_a_client_order_id_is_taken_only_while_its_order_is_open(self, trader: Trader) -> None:
        first = trader.place(terms(cl_ord_id="mine"))
        with pytest.raises(ClientOrderIdInUse):
            trader.place(terms(cl_ord_id="mine"))
        assert trader.cancel("mine", by_client_id=True) == 1
        second = trader.place(terms(cl_ord_id="mine"))

        assert fresh(first).status == "canceled"
        assert fresh(second).status == "open"

    def test_another_account_may_use_the_same_id(
        self, trader: Trader, open_account: OpenAccount, clock: FakeClock
    ) -> None:
        trader.place(terms(cl_ord_id="mine"))

        assert Trader(open_account(), clock).place(terms(cl_ord_id="mine")).status == "open"

    def test_a_userref_cancels_all_orders_that_carry_it(self, trader: Trader) -> None:
        for userref in (7, 7, 8):
            trader.place(terms(userref=userref, limit=Decimal(500)))

        assert trader.cancel("7") == 2
        assert Order.objects.get(status="open").userref == 8

    def test_all_can_be_canceled_at_once(self, trader: Trader) -> None:
        for _ in range(3):
            trader.place(terms(limit=Decimal(500)))

        assert orders_cancel_all(account_id=trader.id, clock=trader.clock) == 3
        assert orders_cancel_all(account_id=trader.id, clock=trader.clock) == 0
        assert trader.held("ZUSD") == 0

    def test_an_order_is_canceled_once_and_by_its_owner(
        self, trader: Trader, open_account: OpenAccount, clock: FakeClock
    ) -> None:
        order = trader.place(terms())

        with pytest.raises(UnknownOrder):
            Trader(open_account(), clock).cancel(order.txid)
        trader.cancel(order.txid)
        with pytest.raises(UnknownOrder):
            trader.cancel(order.txid)

    @pytest.mark.parametrize("reference", ["nonsense", "99999999999", "O-1"])
    def test_what_cannot_be_a_reference_is_an_invalid_order(self, trader: Trader, reference: str) -> None:
        with pytest.raises(InvalidOrder):
            trader.cancel(reference)

    def test_an_account_may_have_80_open_orders_on_a_pair(
        self, trader: Trader, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(order_services, "MAX_OPEN_ORDERS", 3)
        for _ in range(3):
            trader.place(terms(limit=Decimal(500)))

        with pytest.raises(OrdersLimitExceeded):
            trader.place(terms(limit=Decimal(500)))
        assert trader.place(market_terms(Side.BUY, "0.1")).status == "closed"


class TestAmending:
    @pytest.fixture(autouse=True)
    def _market(self, market: Replaying) -> None:
        market(DIP)

    def test_volume_and_limit_change_in_place_and_the_hold_with_them(self, trader: Trader) -> None:
        order = trader.place(terms(cl_ord_id="mine"))

        amended = trader.amend("mine", by_client_id=True, volume=Decimal(1), limit=Decimal(980))

        assert amended.txid == order.txid
        assert (amended.volume, amended.limit_price) == (1, 980)
        assert trader.held("ZUSD") == fresh(order).held == Decimal("983.92")
        assert amended.amend_id

    def test_less_volume_keeps_the_place_in_the_queue_a_new_price_loses_it(
        self, trader: Trader, clock: FakeClock
    ) -> None:
        order = trader.place(terms())
        clock.move(5)

        assert trader.amend(order.txid, volume=Decimal("0.4")).queued_at == START
        assert trader.amend(order.txid, limit=Decimal(991)).queued_at == clock.now

    def test_a_price_that_crosses_takes_unless_post_only(self, trader: Trader) -> None:
        order = trader.place(terms())

        with pytest.raises(PostOnlyOrder):
            trader.amend(order.txid, limit=Decimal(1001), post_only=True)
        assert fresh(order).limit_price == 990
        assert trader.amend(order.txid, limit=Decimal(1001)).status == "closed"
        assert trader.held("ZUSD") == 0

    def test_a_volume_not_above_the_filled_one_ends_the_order(self, trader: Trader, clock: FakeClock) -> None:
        order = trader.place(terms(volume=Decimal(8), limit=Decimal("989")))
        clock.move(38)
        amended = trader.amend(order.txid, volume=Decimal("0.001"))

        assert amended.status == "canceled"
        assert amended.filled > 0
        assert trader.held("ZUSD") == 0

    def test_funds_must_cover_the_change(self, trader: Trader) -> None:
        order = trader.place(terms())

        with pytest.raises(InsufficientFunds):
            trader.amend(order.txid, volume=Decimal(11))
        assert (fresh(order).volume, trader.held("ZUSD")) == (Decimal("0.5"), Decimal("496.98"))

    def test_an_ended_order_is_unknown(self, trader: Trader) -> None:
        order = trader.place(terms())
        trader.cancel(order.txid)

        with pytest.raises(UnknownOrder):
            trader.amend(order.txid, volume=Decimal(1))
