"""Resting orders: fills, ends, restarts of process and market, on a clock that the test moves."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.paper.engine.orders import Side, TimeInForce
from apps.paper.errors import (
    DeadlineElapsed,
    MarketInCancelOnlyMode,
)
from apps.paper.models import LedgerEntry, Market, Order, Trade
from apps.paper.services.account_ledger import AccountLedger
from apps.paper.services.markets import market_current, markets_restart
from apps.paper.services.orders import (
    dead_man_set,
    order_place,
)
from tests.integration.paper.conftest import (
    DIP,
    FakeClock,
    OpenAccount,
    Replaying,
    Trader,
    fresh,
    market_terms,
    terms,
)
from tests.unit.paper.builders import START

pytestmark = pytest.mark.django_db


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
