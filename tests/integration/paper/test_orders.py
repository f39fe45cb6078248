"""Orders against the real database, on a clock that the test moves."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from apps.paper import selectors
from apps.paper.engine.orders import OrderType, Side, Status, TimeInForce
from apps.paper.engine.rules import OrderTerms
from apps.paper.errors import (
    ClientOrderIdInUse,
    DeadlineElapsed,
    InsufficientFunds,
    InvalidOrder,
    MarketInCancelOnlyMode,
    OrdersLimitExceeded,
    PostOnlyOrder,
    UnknownOrder,
)
from apps.paper.models import LedgerEntry, Market, Order, Trade, Wallet
from apps.paper.services import orders as order_services
from apps.paper.services.account_ledger import AccountLedger
from apps.paper.services.accounts import OpenedAccount
from apps.paper.services.markets import market_current, markets_restart
from apps.paper.services.orders import (
    Amendment,
    account_settle,
    dead_man_set,
    order_amend,
    order_cancel,
    order_place,
    orders_cancel_all,
)
from tests.integration.paper.conftest import FakeClock, OpenAccount, Replaying, balance, held
from tests.unit.paper.builders import COIN, START, XBTUSD, Row, flat

pytestmark = pytest.mark.django_db

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


class TestResting:
    @pytest.fixture(autouse=True)
    def _market(self, market: Replaying) -> None:
        market(DIP)

    def test_an_order_fills_while_nobody_looks(self, trader: Trader, clock: FakeClock) -> None:
        order = trader.place(terms())
        clock.move(100)
        trader.settle()

        order = fresh(order)
        assert (order.status, order.filled, order.cost, order.fee) == (
            "closed",
            Decimal("0.5"),
            Decimal(495),
            Decimal("1.2375"),
        )
        assert order.closed_at == START + timedelta(seconds=36)
        assert trader.balance("ZUSD") == Decimal("10000") - Decimal("496.2375")
        assert trader.held("ZUSD") == 0
        assert Trade.objects.get().is_maker

    def test_looking_often_changes_nothing(self, open_account: OpenAccount, clock: FakeClock) -> None:
        patient, anxious = Trader(open_account(), clock), Trader(open_account(), clock)
        big = terms(volume=Decimal(3), limit=Decimal("985"))
        first, second = patient.place(big), anxious.place(big)
        for _ in range(45):
            clock.move(1)
            anxious.settle()
        clock.move(60)
        patient.settle()

        # Below 985.0 the market trades for five seconds; of each both share one bitcoin, the older order first.
        assert (fresh(first).filled, fresh(second).filled) == (3, 2)
        times = Trade.objects.order_by("id").values_list("order_id", "traded_at", "volume")
        assert list(times) == [
            (order.pk, START + timedelta(seconds=second_), 1)
            for order, second_ in ((first, 38), (first, 39), (first, 40), (second, 41), (second, 42))
        ]

    def test_an_order_does_not_profit_from_what_was_before_it(self, trader: Trader, clock: FakeClock) -> None:
        market_current(pair="XBTUSD", clock=clock)
        clock.move(61)
        order = trader.place(terms())
        clock.move(100)
        trader.settle()

        assert fresh(order).status == "open"

    def test_a_canceled_order_keeps_what_it_got(self, trader: Trader, clock: FakeClock) -> None:
        order = trader.place(terms(volume=Decimal(8), limit=Decimal("989")))
        clock.move(38)

        assert trader.cancel(order.txid) == 1
        order = fresh(order)
        assert (order.status, order.reason, order.closed_at) == ("canceled", "User requested", clock.now)
        assert 0 < order.filled < 8
        assert trader.held("ZUSD") == 0
        assert trader.balance("XXBT") == 1 + order.filled

    def test_an_order_expires_at_its_time_not_when_that_is_noticed(self, trader: Trader, clock: FakeClock) -> None:
        expires_at = clock.now + timedelta(seconds=20)
        order = trader.place(terms(time_in_force=TimeInForce.GTD, expires_at=expires_at))
        clock.move(300)
        trader.settle()

        order = fresh(order)
        assert (order.status, order.filled, order.closed_at) == ("expired", 0, expires_at)
        assert trader.held("ZUSD") == 0

    def test_the_dead_mans_switch_ends_what_was_open_and_nothing_later(self, trader: Trader, clock: FakeClock) -> None:
        before = trader.place(terms(limit=Decimal(500)))
        now, trigger = dead_man_set(account_id=trader.id, timeout_seconds=10, clock=clock)
        clock.move(11)
        after = trader.place(terms(limit=Decimal(500)))
        trader.settle()

        assert (now, trigger) == (START, START + timedelta(seconds=10))
        assert (fresh(before).status, fresh(before).closed_at) == ("canceled", trigger)
        assert fresh(after).status == "open"

    def test_a_renewed_switch_does_not_fire_and_a_lifted_one_never(self, trader: Trader, clock: FakeClock) -> None:
        order = trader.place(terms(limit=Decimal(500)))
        for timeout in (10, 10, 10, 0):
            dead_man_set(account_id=trader.id, timeout_seconds=timeout, clock=clock)
            clock.move(9)
        clock.move(1000)
        trader.settle()

        assert fresh(order).status == "open"

    def test_after_the_last_candle_orders_are_refused_and_cancels_work(self, trader: Trader, clock: FakeClock) -> None:
        order = trader.place(terms(limit=Decimal(500)))
        clock.move(30 * len(DIP))

        with pytest.raises(MarketInCancelOnlyMode):
            trader.place(terms())
        assert trader.cancel(order.txid) == 1


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


class TestTimeAndFailure:
    @pytest.fixture(autouse=True)
    def _market(self, flat_market: object) -> None: ...

    def test_a_deadline_that_passes_while_waiting_for_the_lock_is_elapsed(self, trader: Trader) -> None:
        moments: Iterator[float] = iter((0, 0, 6, 6, 6, 6))
        deadline = START + timedelta(seconds=5)

        with pytest.raises(DeadlineElapsed):
            order_place(
                account_id=trader.id,
                terms=terms(deadline=deadline),
                clock=lambda: START + timedelta(seconds=next(moments)),
            )
        assert Order.objects.count() == 0

    def test_a_clock_that_steps_back_does_not_take_the_market_back(self, trader: Trader, clock: FakeClock) -> None:
        clock.move(50)
        trader.place(terms())
        clock.move(-20)
        order = trader.place(terms())

        assert order.opened_at == START + timedelta(seconds=50)

    def test_a_failure_in_the_middle_leaves_nothing(self, trader: Trader, monkeypatch: pytest.MonkeyPatch) -> None:
        saved = AccountLedger.save

        def save_and_fail(self: AccountLedger) -> None:
            saved(self)
            assert Trade.objects.count() == 1
            raise RuntimeError("the process dies here")

        monkeypatch.setattr(AccountLedger, "save", save_and_fail)
        with pytest.raises(RuntimeError):
            trader.place(market_terms(Side.BUY, "0.5"))

        assert (Order.objects.count(), Trade.objects.count()) == (0, 0)
        assert trader.balance("ZUSD") == 10_000
        assert LedgerEntry.objects.filter(kind="trade").count() == 0

    def test_a_restarted_process_goes_on_where_the_market_is(self, trader: Trader, clock: FakeClock) -> None:
        trader.place(terms())
        started = Market.objects.get()
        clock.move(75)
        row = market_current(pair="XBTUSD", clock=clock)

        assert (row.started_at, row.start_step) == (started.started_at, started.start_step)

    def test_a_new_speed_goes_on_at_the_same_step(self, trader: Trader, clock: FakeClock, settings: Any) -> None:
        trader.place(terms())
        clock.move(75)
        settings.MARKET_CANDLE_SECONDS = 300.0
        row = market_current(pair="XBTUSD", clock=clock)

        assert (row.start_step, row.started_at, row.candle_seconds) == (30 + 75, clock.now, 300.0)

    def test_another_file_starts_the_market_anew_and_keeps_the_orders(
        self, trader: Trader, clock: FakeClock, market: Replaying
    ) -> None:
        order = trader.place(terms())
        clock.move(75)
        market(DIP)
        # The file has the same name, and this process has read it: as after a restart, it is read again.
        from apps.paper.market import listing

        listing._listed.cache_clear()
        trader.settle()
        row = Market.objects.get()
        clock.move(90)
        trader.settle()

        assert (row.started_at, row.start_step) == (START + timedelta(seconds=75), 30)
        assert fresh(order).status == "closed"

    def test_only_ended_markets_are_restarted_if_so_asked(self, trader: Trader, clock: FakeClock) -> None:
        trader.place(terms())
        pairs = ["XBTUSD"]
        assert markets_restart(pairs=pairs, clock=clock, only_ended=True) == []
        clock.move(30 * 200)
        restarted = markets_restart(pairs=pairs, clock=clock, only_ended=True)

        assert [row.pair for row in restarted] == ["XBTUSD"]
        assert trader.place(terms()).status == "open"


class TestDatabasePromises:
    @pytest.fixture(autouse=True)
    def _market(self, flat_market: object) -> None: ...

    @pytest.mark.parametrize(
        ("change", "constraint"),
        [
            ({"balance": Decimal(-1)}, "paper_wallet"),
            ({"held": Decimal(-1)}, "paper_wallet_held_not_negative"),
            ({"held": Decimal(10_001)}, "paper_wallet_held_is_covered"),
        ],
    )
    def test_a_wallet_cannot_go_wrong(self, trader: Trader, change: dict[str, Decimal], constraint: str) -> None:
        with pytest.raises(IntegrityError, match=constraint):
            Wallet.objects.filter(account_id=trader.id, asset="ZUSD").update(**change)

    def test_two_open_orders_cannot_share_a_client_id(self, trader: Trader) -> None:
        trader.place(terms(cl_ord_id="mine"))
        other = trader.place(terms(cl_ord_id="other"))

        with pytest.raises(IntegrityError, match="paper_order_live_cl_ord_id"):
            Order.objects.filter(pk=other.pk).update(cl_ord_id="mine")

    @pytest.mark.parametrize("status", [Status.CLOSED.value, Status.CANCELED.value])
    def test_an_order_cannot_end_while_it_holds(self, trader: Trader, status: str) -> None:
        order = trader.place(terms())

        with pytest.raises(IntegrityError, match="paper_order_"):
            Order.objects.filter(pk=order.pk).update(status=status, closed_at=START)

    @pytest.mark.parametrize("model", [Trade, LedgerEntry])
    def test_trades_and_ledger_are_append_only(self, trader: Trader, model: Any) -> None:
        trader.place(market_terms(Side.BUY, "0.5"))

        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            model.objects.update(fee=0)
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            model.objects.all()._raw_delete("default")
