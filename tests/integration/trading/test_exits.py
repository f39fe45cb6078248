"""An exit stays due: until it is done or the bot is told to stop, over worker deaths, and without selling too much."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from apps.exchange.types import OrderRequest, OrderStatus, Rejected, RejectionKind, Submission, TimeInForce
from apps.messages.trading import BotTradeSkipped
from apps.trading.errors import TradeRefused
from apps.trading.models.exits import DueExit
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs import exits, tick
from apps.trading.services.runs.manual_trade import trade_trigger
from apps.trading.services.runs.stop import run_stop
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.factories.fake_exchange import FakeExchange, SubmitFault
from tests.factories.trading import (
    PAIR,
    SteppingClock,
    add_candle,
    delivery_of,
    running_bot,
    stop_command,
    trigger_command,
)
from tests.integration.trading.test_ticks import story

pytestmark = pytest.mark.django_db

Submit = Callable[[OrderRequest], Submission]


@pytest.fixture
def run(exchange: FakeExchange, context: ExecutionContext) -> BotRun:
    """It holds, and its strategy's signal has turned: the next tick sells."""
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)
    add_candle(exchange, 15000)
    return run


def filling(exchange: FakeExchange, share: Decimal) -> Submit:
    """A placement of which the market takes this share, before it is cancelled as immediate-or-cancel."""

    def submit(order: OrderRequest) -> Submission:
        exchange.submitted.append(order)
        price = exchange.prices[PAIR]
        exchange.prices[PAIR] = price / 2  # so that it rests
        answer = exchange._place(replace(order, time_in_force=TimeInForce.GTC))
        exchange.prices[PAIR] = price
        [live] = [each for each in exchange.placed if each.status.is_live]
        if share:
            exchange.fill(live.exchange_order_id, volume=(order.volume * share).quantize(Decimal("0.00000001")))
        exchange.end(live.exchange_order_id, OrderStatus.CANCELED, "Immediate or cancel")
        return answer

    return submit


def sales() -> list[OrderIntent]:
    return list(OrderIntent.objects.filter(side="sell").order_by("planned_at", "attempt"))


def go_on(run: BotRun, context: ExecutionContext, clock: SteppingClock, *, seconds: float = 60) -> TickOutcome:
    clock.sleep(seconds)
    return tick_run(run_id=run.id, context=context)


class TestASaleThatMisses:
    def test_is_tried_again_at_a_price_read_then_under_an_id_of_its_own(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        exchange.on("submit", before=lambda _: exchange.set_price(Decimal(14800)))  # it falls while the order travels
        assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED
        exchange.off("submit")
        assert Position.objects.get().base_volume > 0

        assert go_on(run, context, clock, seconds=2) == TickOutcome.EXIT_TRIED
        first, second = sales()
        assert (first.state, second.state) == (IntentState.CANCELED, IntentState.FILLED)
        assert (first.decision_id, second.attempt) == (second.decision_id, 2)
        assert first.cl_ord_id != second.cl_ord_id
        assert (first.price, second.price) == (Decimal("14925.0"), Decimal("14726.0"))
        assert Position.objects.get().base_volume == 0
        assert not DueExit.objects.exists()

    def test_is_not_tried_before_its_time_and_brings_the_next_tick_forward(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        BotRun.objects.update(next_tick_at=clock.now + timedelta(hours=1))
        exchange.on("submit", instead=filling(exchange, Decimal(0)))
        tick_run(run_id=run.id, context=context)
        due = DueExit.objects.get()
        run.refresh_from_db()
        assert run.next_tick_at == due.next_attempt_at
        clock.now = due.next_attempt_at - timedelta(milliseconds=1)
        assert tick_run(run_id=run.id, context=context) == TickOutcome.NOTHING_NEW
        assert len(sales()) == 1

    def test_does_not_wait_for_the_hour_that_the_clock_is_set_back(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        exchange.on("submit", instead=filling(exchange, Decimal(0)))
        tick_run(run_id=run.id, context=context)
        exchange.off("submit")
        go_on(run, context, clock, seconds=-3600)
        assert {sale.attempt: sale.state for sale in sales()} == {1: IntentState.CANCELED, 2: IntentState.FILLED}

    def test_is_tried_at_growing_intervals_and_told_once(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        exchange.on("submit", instead=filling(exchange, Decimal(0)))
        pauses = []
        for _ in range(8):
            began = clock.now
            tick_run(run_id=run.id, context=context)
            due = DueExit.objects.get()
            pauses.append(round((due.next_attempt_at - began).total_seconds()))
            clock.now = due.next_attempt_at
        assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
        assert (due.attempts, len(sales())) == (8, 8)
        skips = [message for message in story(run) if isinstance(message, BotTradeSkipped)]
        assert [(skip.side, skip.code) for skip in skips] == [("sell", "no_liquidity")]

    def test_sells_the_rest_of_what_was_taken_in_part(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        held = Position.objects.get().base_volume
        exchange.on("submit", instead=filling(exchange, Decimal("0.4")))
        for _ in range(3):
            tick_run(run_id=run.id, context=context)
            clock.sleep(60)
        exchange.off("submit")
        tick_run(run_id=run.id, context=context)
        assert sum(sale.filled_volume for sale in sales()) == held
        assert Position.objects.get().base_volume == 0
        assert exchange.totals["XXBT"] == 0
        assert len({sale.decision_id for sale in sales()}) == 1

    @pytest.mark.parametrize(
        ("rejection", "seconds"),
        [
            (Rejected("rate_limited", "Wait.", RejectionKind.BACK_OFF, "EOrder:Rate limit exceeded", 10), 10),
            (Rejected("market_closed", "Not now.", RejectionKind.MARKET_CLOSED, "EService:Market in …"), 2),
            (Rejected("insufficient_funds", "No.", RejectionKind.FINAL, "EOrder:Insufficient funds"), 60),
        ],
    )
    def test_after_a_refusal_is_tried_again_when_the_exchange_may_take_it(
        self,
        *,
        run: BotRun,
        exchange: FakeExchange,
        clock: SteppingClock,
        context: ExecutionContext,
        rejection: Rejected,
        seconds: int,
    ) -> None:
        exchange.next_submits.append(rejection)
        tick_run(run_id=run.id, context=context)
        go_on(run, context, clock, seconds=seconds - 1)
        assert len(sales()) == 1
        go_on(run, context, clock, seconds=1)
        assert [sale.state for sale in sales()] == [IntentState.REJECTED, IntentState.FILLED]

    def test_ends_where_the_exchange_has_raised_its_minimum_above_the_rest(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        exchange.next_submits.append(Rejected("order_minimum", "Too small.", RejectionKind.FINAL, "EOrder:Order min"))
        tick_run(run_id=run.id, context=context)
        assert not DueExit.objects.exists()

    def test_keeps_its_decision_over_later_candles(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        exchange.on("submit", instead=filling(exchange, Decimal(0)))
        for price in (14900, 14800, 14700):
            tick_run(run_id=run.id, context=context)
            add_candle(exchange, price)
            clock.sleep(3600)
        exchange.off("submit")
        tick_run(run_id=run.id, context=context)
        assert len({sale.decision_id for sale in sales()}) == 1
        assert Position.objects.get().base_volume == 0

    def test_is_done_when_less_than_the_smallest_order_is_left(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        exchange.on("submit", instead=filling(exchange, Decimal("0.9999")))
        tick_run(run_id=run.id, context=context)
        assert not DueExit.objects.exists()
        assert 0 < Position.objects.get().base_volume < Decimal("0.00005")


class TestWhileItIsDue:
    @pytest.fixture(autouse=True)
    def missed(self, run: BotRun, exchange: FakeExchange, context: ExecutionContext) -> None:
        exchange.on("submit", instead=filling(exchange, Decimal(0)))
        tick_run(run_id=run.id, context=context)
        exchange.off("submit")

    def test_nothing_is_bought(self, run: BotRun, exchange: FakeExchange, context: ExecutionContext) -> None:
        with pytest.raises(TradeRefused) as caught:
            trade_trigger(command=trigger_command(run, side="buy", quote_amount=Decimal(10)), context=context)
        assert caught.value.details["rule"] == "exit_due"

    def test_a_stop_ends_it(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        command = stop_command(run)
        run_stop(command=command, delivery=delivery_of(command), context=context)
        assert go_on(run, context, clock) == TickOutcome.NOT_RUNNING
        assert not DueExit.objects.exists()
        assert len(sales()) == 1
        assert Position.objects.get().base_volume > 0

    def test_a_manual_sale_takes_its_part_and_no_more_is_sold_than_is_held(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        held = Position.objects.get().base_volume
        trade_trigger(command=trigger_command(run, side="sell", quote_amount=Decimal(100)), context=context)
        go_on(run, context, clock)
        assert sum(sale.filled_volume for sale in sales()) == held
        assert exchange.totals["XXBT"] == 0

    def test_an_attempt_of_unknown_outcome_is_not_followed_before_it_is_resolved(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        exchange.next_submits.append(SubmitFault.LOST_BEFORE)
        go_on(run, context, clock)
        for _ in range(4):
            go_on(run, context, clock)
            orders_reconcile(context=context)
        assert [sale.state for sale in sales()] == [IntentState.CANCELED, IntentState.UNKNOWN]
        for _ in range(4):
            clock.sleep(60)
            orders_reconcile(context=context)
        assert sales()[-1].state == IntentState.NOT_PLACED
        go_on(run, context, clock)
        assert sales()[-1].state == IntentState.FILLED
        assert exchange.totals["XXBT"] == 0

    def test_an_attempt_whose_answer_was_lost_is_adopted_and_ends_it(
        self, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
    ) -> None:
        exchange.next_submits.append(SubmitFault.LOST_AFTER)
        go_on(run, context, clock)
        clock.sleep(60)
        orders_reconcile(context=context)
        go_on(run, context, clock)
        assert [sale.state for sale in sales()] == [IntentState.CANCELED, IntentState.FILLED]
        assert not DueExit.objects.exists()


class TestAWorkerThatDies:
    def test_after_the_decision_leaves_the_exit_due(
        self,
        run: BotRun,
        exchange: FakeExchange,
        clock: SteppingClock,
        context: ExecutionContext,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        class Killed(BaseException):
            pass

        def die(*_: object, **__: object) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(tick, "exit_attempt", lambda *_, **__: die() if DueExit.objects.exists() else None)
            with pytest.raises(Killed):
                tick_run(run_id=run.id, context=context)
        assert (sales(), DueExit.objects.get().attempts) == ([], 0)
        assert go_on(run, context, clock) == TickOutcome.EXIT_TRIED
        assert sales()[-1].state == IntentState.FILLED

    @pytest.mark.parametrize("step", ["intent_plan", "order_place"])
    def test_in_an_attempt_leaves_it_due(
        self,
        *,
        run: BotRun,
        exchange: FakeExchange,
        clock: SteppingClock,
        context: ExecutionContext,
        monkeypatch: pytest.MonkeyPatch,
        step: str,
    ) -> None:
        class Killed(BaseException):
            pass

        def die(*_: object, **__: object) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(exits, step, die)
            with pytest.raises(Killed):
                tick_run(run_id=run.id, context=context)
        assert DueExit.objects.get().attempts == 1
        go_on(run, context, clock)
        assert [sale.state for sale in sales()][-1] == IntentState.FILLED
        assert exchange.totals["XXBT"] == 0


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_on_the_way_all_is_sold_once_by_one_order_at_a_time(
    seed: int, run: BotRun, exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
) -> None:
    chance = random.Random(seed)
    held = Position.objects.get().base_volume
    back_off = Rejected("rate_limited", "Wait.", RejectionKind.BACK_OFF, "EOrder:Rate limit exceeded", 10)
    faults: list[SubmitFault | Rejected] = [*SubmitFault, back_off]
    for _ in range(12):
        kind = chance.randrange(3)
        if kind == 0:
            exchange.next_submits.append(chance.choice(faults))
        elif kind == 1:
            exchange.on("submit", instead=filling(exchange, Decimal(chance.choice(["0", "0.3", "0.7"]))))
        tick_run(run_id=run.id, context=context)
        exchange.off("submit")
        orders_reconcile(context=context)
        if chance.random() < 0.3:
            add_candle(exchange, 14000 - chance.randrange(500))
        assert OrderIntent.objects.filter(side="sell", state__in=ACTIVE_STATES).count() <= 1
        clock.sleep(chance.choice([1, 5, 30, 120]))
    exchange.next_submits.clear()
    for _ in range(12):
        clock.sleep(90)
        tick_run(run_id=run.id, context=context)
        orders_reconcile(context=context)
    placed = sum(order.executed_volume for order in exchange.placed if order.side == "sell")
    assert placed == held
    assert exchange.totals["XXBT"] == 0
    assert Position.objects.get().base_volume == 0
    assert not DueExit.objects.exists()


def test_a_purchase_that_misses_waits_for_the_next_candle_and_is_told_once(
    exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
) -> None:
    run = running_bot(context, strategy="dca", parameters={"every_candles": 1, "quote_amount": "50"})
    for number in range(23):
        exchange.on("submit", before=lambda order: exchange.set_price(order.price * 2))
        tick_run(run_id=run.id, context=context)
        tick_run(run_id=run.id, context=context)
        exchange.off("submit")
        add_candle(exchange, 23000 + number)
        clock.sleep(60)
    assert OrderIntent.objects.count() == 23
    [skipped] = story(run)
    assert isinstance(skipped, BotTradeSkipped)
    assert (skipped.side, skipped.code) == ("buy", "no_liquidity")
