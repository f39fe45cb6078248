"""The difference to the exchange's clock: measured, told, and a bar to purchases where it is too large."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.core.terms import Mode
from apps.events.store.selectors import stream_list
from apps.exchange.clock import KEPT, Offset, offset_beyond_limit, offset_measure, offset_of, offset_record
from apps.exchange.errors import ExchangeUnavailable
from apps.exchange.models import ExchangeClock
from apps.messages.trading import BotTradeLimited
from apps.trading.clock_watch import AHEAD, ClockWatch
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.orders.placement import order_place
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.factories.fake_exchange import FakeExchange, SubmitFault
from tests.factories.trading import (
    FALLING,
    NOW,
    SteppingClock,
    candles,
    context_of,
    fake_exchange,
    only_intent,
    planned_order,
    running_bot,
)

pytestmark = pytest.mark.django_db(transaction=True)


def watch(exchange: FakeExchange, *, ahead: float, step: float = 10.3) -> ClockWatch:
    """A watch whose clock is ahead of the exchange's. Each call takes 20 ms."""
    passed = 0.0

    def told() -> datetime:
        nonlocal passed
        passed += 0.02
        return NOW + timedelta(seconds=passed - 0.01)

    exchange.clock = told
    made = ClockWatch(
        clock=lambda: NOW + timedelta(seconds=passed + ahead),
        monotonic=lambda: passed,
        open_market=lambda mode: exchange,
    )
    measure = made.measure

    def and_wait() -> None:
        nonlocal passed
        measure()
        passed += step

    made.measure = and_wait  # type: ignore[method-assign]
    return made


class TestMeasuring:
    def test_one_answer_bounds_the_difference_to_a_second_and_the_time_of_the_call(self) -> None:
        exchange = fake_exchange()
        exchange.clock = lambda: NOW + timedelta(milliseconds=900)
        seconds = iter([0.0, 0.25])

        assert offset_measure(exchange, clock=lambda: NOW, monotonic=lambda: next(seconds)) == Offset(-1.0, 0.25)

    @pytest.mark.parametrize("ahead", [-3600.0, -3.3, -0.4, 0.0, 0.2, 1.5, 3600.0])
    def test_several_answers_bound_it_to_a_few_tenths(self, ahead: float) -> None:
        running_bot(context_of(fake_exchange()))
        watching = watch(fake_exchange(), ahead=ahead)

        for _ in range(10):
            watching.measure()

        row = ExchangeClock.objects.get()
        assert row.low_seconds <= ahead <= row.high_seconds
        assert row.high_seconds - row.low_seconds < 0.35
        assert AHEAD.labels("paper")._value.get() == pytest.approx(ahead, abs=0.2)

    def test_a_clock_that_is_set_is_seen_with_the_next_answer(self) -> None:
        assert offset_of([Offset(-0.1, 0.1), Offset(-0.5, 0.1), Offset(3599.4, 3600.4)]) == Offset(3599.4, 3600.4)

    def test_only_exchanges_that_bots_trade_on_are_asked(self) -> None:
        asked: list[Mode] = []
        exchange = fake_exchange()

        def opened(mode: Mode) -> FakeExchange:
            asked.append(mode)
            return exchange

        watching = ClockWatch(clock=timezone.now, open_market=opened)
        watching.measure()
        assert asked == []

        run = running_bot(context_of(fake_exchange()))
        watching.measure()
        BotRun.objects.filter(id=run.id).update(mode="live")
        watching.measure()
        assert asked == [Mode.PAPER, Mode.LIVE]

    def test_an_exchange_that_does_not_answer_leaves_the_last_measurement(self) -> None:
        running_bot(context_of(fake_exchange()))
        exchange = fake_exchange()
        watching = watch(exchange, ahead=5)
        watching.measure()
        exchange.fail_reads(ExchangeUnavailable("No answer."))
        watching.measure()

        assert ExchangeClock.objects.count() == 1
        assert watching.alarm


class TestAlarm:
    @pytest.mark.parametrize(("ahead", "is_told"), [(0.9, False), (-0.9, False), (1.5, True), (-1.5, True)])
    def test_above_a_second_a_person_is_told(
        self, ahead: float, is_told: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        running_bot(context_of(fake_exchange()))
        watching = watch(fake_exchange(), ahead=ahead)
        for _ in range(10):
            watching.measure()

        assert bool(watching.alarm) is is_told
        assert any("exchange_clock_differs" in record.message for record in caplog.records) is is_told
        if is_told:
            assert "1.5 s" in watching.alarm
            assert ("ahead of" if ahead > 0 else "behind") in watching.alarm

    def test_it_ends_when_the_clocks_agree_again(self) -> None:
        running_bot(context_of(fake_exchange()))
        exchange = fake_exchange()
        watching = watch(exchange, ahead=20)
        watching.measure()
        assert watching.alarm
        told = exchange.clock
        exchange.clock = lambda: told() + timedelta(seconds=20)
        watching.measure()

        assert watching.alarm == ""
        assert offset_beyond_limit(mode=Mode.PAPER, now=NOW) is None


class TestPurchases:
    def test_beyond_three_seconds_nothing_is_bought_and_the_figures_are_told(self) -> None:
        exchange = fake_exchange()
        run = running_bot(context_of(exchange))
        offset_record(mode=Mode.PAPER, offset=Offset(3.1, 3.3), now=NOW)

        assert tick_run(run_id=run.id, context=context_of(exchange)) == TickOutcome.DECIDED

        assert OrderIntent.objects.count() == 0
        run.refresh_from_db()
        assert run.skip_reason == "buy:clock_skew"
        [told] = [
            message
            for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)
            if isinstance(message := event.message(), BotTradeLimited)
        ]
        assert (told.code, told.limit, told.actual, told.unit) == ("clock_skew", Decimal(3), Decimal("3.2"), "seconds")

    @pytest.mark.parametrize("offset", [Offset(2.8, 3.2), Offset(-3.2, -2.9), Offset(-0.5, 0.5)])
    def test_up_to_three_seconds_they_go_on(self, offset: Offset) -> None:
        exchange = fake_exchange()
        run = running_bot(context_of(exchange))
        offset_record(mode=Mode.PAPER, offset=offset, now=NOW)

        tick_run(run_id=run.id, context=context_of(exchange))
        assert only_intent().state == IntentState.FILLED

    def test_sales_go_on(self) -> None:
        exchange = fake_exchange()
        run = running_bot(context_of(exchange))
        tick_run(run_id=run.id, context=context_of(exchange))
        offset_record(mode=Mode.PAPER, offset=Offset(-3600.5, -3600.2), now=NOW)
        exchange.set_candles(candles([*range(20000, 23000, 100), *FALLING]))

        tick_run(run_id=run.id, context=context_of(exchange))
        sale = OrderIntent.objects.get(side="sell")
        assert sale.state == IntentState.FILLED

    def test_another_modes_clock_is_another_clock(self) -> None:
        exchange = fake_exchange()
        run = running_bot(context_of(exchange))
        offset_record(mode=Mode.LIVE, offset=Offset(5.0, 5.1), now=NOW)

        tick_run(run_id=run.id, context=context_of(exchange))
        assert only_intent().state == IntentState.FILLED

    def test_a_host_that_has_stopped_measuring_bars_nothing_for_ever(self) -> None:
        offset_record(mode=Mode.PAPER, offset=Offset(5.0, 5.1), now=NOW)

        assert offset_beyond_limit(mode=Mode.PAPER, now=NOW + KEPT) is not None
        assert offset_beyond_limit(mode=Mode.PAPER, now=NOW + KEPT + timedelta(seconds=1)) is None


class TestAbsence:
    def test_a_clock_set_forward_proves_no_order_absent(self) -> None:
        """The order is only not visible yet. Taken for absent, it would be placed a second time."""
        clock, exchange_clock = SteppingClock(), SteppingClock()
        exchange = fake_exchange()
        planned = planned_order(exchange, clock, volume=Decimal("0.01"))
        exchange.next_submits.append(SubmitFault.LOST_BEFORE)
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
        planned.lease.release()

        clock.now += timedelta(hours=1)
        context = context_of(exchange, clock)
        exchange.clock = exchange_clock
        orders_reconcile(context=context)
        assert only_intent().state == IntentState.UNKNOWN

        for passed in range(10, 300, 10):
            clock.sleep(10)
            exchange_clock.now = NOW + timedelta(seconds=passed)
            orders_reconcile(context=context)
            assert only_intent().state == IntentState.UNKNOWN
        clock.sleep(60)
        exchange_clock.now = NOW + timedelta(seconds=306)
        orders_reconcile(context=context)
        assert only_intent().state == IntentState.NOT_PLACED
