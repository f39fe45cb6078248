"""Sending an order: once, with its limits, and every answer leads to the state that it proves."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from apps.core.terms import Side
from apps.events.store.selectors import stream_list
from apps.exchange.errors import ExchangeUnavailable, OutcomeUnknown, OverBudget
from apps.exchange.types import (
    ExchangeOrder,
    OrderRequest,
    OrderStatus,
    OrderType,
    Rejected,
    RejectionKind,
    TimeInForce,
)
from apps.messages.bots import BotError
from apps.trading.errors import ContradictoryEvidence, LeaseLost, RunNotTrading
from apps.trading.models.ledger import Fill, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.run_lease import lease_take
from apps.trading.services.orders.lifecycle import DecidedOrder, intent_accepted, intent_end, intent_plan
from apps.trading.services.orders.placement import order_place, order_update, orders_sync, resting_intents
from apps.trading.services.orders.positions import position_get
from apps.trading.services.runs.decisions import exposure_of
from apps.trading.services.runs.rejections import placement_apply
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.factories.fake_account import INSUFFICIENT_FUNDS
from tests.factories.fake_exchange import FakeExchange, SubmitFault, raising
from tests.factories.trading import NOW, Planned, context_of, fake_exchange, only_intent, planned_order, running_bot

pytestmark = pytest.mark.django_db


@pytest.fixture
def exchange() -> FakeExchange:
    return fake_exchange([30000] * 30)


def place(planned: Planned) -> OrderIntent:
    return order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps).intent


def test_the_request_carries_the_intents_own_id_terms_and_deadline(exchange: FakeExchange) -> None:
    planned = planned_order(exchange)
    intent = place(planned)

    [request] = exchange.submitted
    assert (request.client_order_id, request.volume, request.price) == (intent.cl_ord_id, intent.volume, intent.price)
    assert (request.order_type, request.time_in_force) == (OrderType.LIMIT, TimeInForce.IOC)
    assert request.deadline == intent.deadline == NOW + timedelta(seconds=15)


def test_the_doubt_ends_at_the_deadline_that_the_exchange_was_given(exchange: FakeExchange) -> None:
    """The stored deadline is the latest possible one; the worker that sent the order knows the one on the wire."""
    given = NOW + timedelta(seconds=5)
    lost = OutcomeUnknown("No answer came.", client_order_id="x", deadline=given)
    exchange.on("submit", before=raising(lost))
    intent = place(planned_order(exchange))

    assert intent.state == IntentState.UNKNOWN
    assert (intent.deadline, intent.next_check_at) == (given, given)


def test_the_doubt_is_never_prolonged_by_a_deadline(exchange: FakeExchange) -> None:
    lost = OutcomeUnknown("No answer came.", client_order_id="x", deadline=NOW + timedelta(minutes=1))
    exchange.on("submit", before=raising(lost))

    assert place(planned_order(exchange)).deadline == NOW + timedelta(seconds=15)


def test_the_intent_says_sending_while_the_exchange_is_asked(exchange: FakeExchange) -> None:
    seen: list[str] = []
    planned = planned_order(exchange)
    exchange.on("submit", before=lambda order: seen.append(OrderIntent.objects.get().state))
    place(planned)
    assert seen == [IntentState.SENDING]


def test_an_intent_is_sent_once(exchange: FakeExchange) -> None:
    planned = planned_order(exchange)
    place(planned)
    with pytest.raises(LeaseLost):
        place(planned)
    assert len(exchange.submitted) == 1


def test_a_worker_that_lost_its_lease_sends_nothing(exchange: FakeExchange) -> None:
    planned = planned_order(exchange)
    assert lease_take(run_id=planned.run.id, now=NOW + timedelta(minutes=1)) is not None
    with pytest.raises(LeaseLost):
        place(planned)
    assert exchange.submitted == []


def test_a_bot_that_was_told_to_stop_sends_nothing(exchange: FakeExchange) -> None:
    planned = planned_order(exchange)
    BotRun.objects.update(state=RunState.STOPPING)
    with pytest.raises(RunNotTrading):
        place(planned)
    assert exchange.submitted == []
    assert OrderIntent.objects.get().state == IntentState.PLANNED


class TestAnswers:
    def test_accepted_and_filled(self, exchange: FakeExchange) -> None:
        intent = place(planned_order(exchange))
        assert intent.state == IntentState.FILLED
        assert intent.txid == exchange.placed[0].exchange_order_id

    def test_accepted_and_resting(self, exchange: FakeExchange) -> None:
        intent = place(planned_order(exchange, kind=OrderKind.REST, price=Decimal(29000)))
        assert (intent.state, intent.filled_volume) == (IntentState.OPEN, 0)
        assert Position.objects.get().quote_reserved == intent.reserved_quote > 290

    def test_accepted_and_nothing_to_take(self, exchange: FakeExchange) -> None:
        intent = place(planned_order(exchange, price=Decimal(29000)))
        assert (intent.state, intent.filled_volume) == (IntentState.CANCELED, 0)
        assert Position.objects.get().quote_reserved == 0

    def test_refused(self, exchange: FakeExchange) -> None:
        exchange.next_submits.append(INSUFFICIENT_FUNDS)
        intent = place(planned_order(exchange))
        assert (intent.state, intent.state_code, intent.txid) == (IntentState.REJECTED, "insufficient_funds", "")
        assert intent.evidence[-1]["answer"] == "EOrder:Insufficient funds"
        assert Position.objects.get().quote_reserved == 0

    def test_never_sent(self, exchange: FakeExchange) -> None:
        exchange.next_submits.append(SubmitFault.NOT_SENT)
        intent = place(planned_order(exchange))
        assert intent.state == IntentState.NOT_PLACED
        assert intent.evidence[-1]["grade"] == "A"
        assert Position.objects.get().quote_reserved == 0

    @pytest.mark.parametrize("fault", [SubmitFault.LOST_BEFORE, SubmitFault.LOST_AFTER])
    def test_no_answer(self, exchange: FakeExchange, fault: SubmitFault) -> None:
        exchange.next_submits.append(fault)
        intent = place(planned_order(exchange))
        assert (intent.state, intent.txid) == (IntentState.UNKNOWN, "")
        assert intent.next_check_at == intent.deadline
        assert Position.objects.get().quote_reserved == intent.reserved_quote > 0

    def test_a_failure_that_nobody_foresaw_leaves_doubt_and_is_loud(self, exchange: FakeExchange) -> None:
        planned = planned_order(exchange)

        exchange.on("submit", before=raising(ZeroDivisionError()))
        with pytest.raises(ZeroDivisionError):
            place(planned)
        assert OrderIntent.objects.get().state == IntentState.UNKNOWN


def rejected(kind: RejectionKind, *, retry_after_seconds: int | None = None) -> Rejected:
    return Rejected("some_code", "Some words.", kind, "EX:Some words", retry_after_seconds)


class TestConsequences:
    def test_an_invalid_key_ends_the_run(self, exchange: FakeExchange) -> None:
        context = context_of(exchange)
        run = running_bot(context, strategy="dca", parameters={"quote_amount": "50"})
        exchange.next_submits.append(rejected(RejectionKind.KEY_INVALID))
        tick_run(run_id=run.id, context=context)
        run.refresh_from_db()
        assert run.state == RunState.ERROR
        told = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)]
        [error] = [message for message in told if isinstance(message, BotError)]
        assert (error.code, error.is_final) == ("some_code", True)
        assert tick_run(run_id=run.id, context=context) == TickOutcome.NOT_RUNNING

    @pytest.mark.parametrize(
        ("rejection", "seconds"),
        [
            (rejected(RejectionKind.FINAL), 60),
            (rejected(RejectionKind.BACK_OFF), 30),
            (rejected(RejectionKind.BACK_OFF, retry_after_seconds=90), 90),
            (rejected(RejectionKind.MARKET_CLOSED), 60),
            (rejected(RejectionKind.ACCOUNT_LIMIT), 300),
            (rejected(RejectionKind.BUG), 300),
            (rejected(RejectionKind.PERMISSION), 300),
            (rejected(RejectionKind.KEY_LOCKED, retry_after_seconds=900), 900),
        ],
    )
    def test_other_refusals_pause_entries(self, exchange: FakeExchange, rejection: Rejected, seconds: int) -> None:
        context = context_of(exchange)
        run = running_bot(context, strategy="dca", parameters={"quote_amount": "50"})
        exchange.next_submits.append(rejection)
        tick_run(run_id=run.id, context=context)
        run.refresh_from_db()
        assert run.is_running
        assert run.entries_held_until == NOW + timedelta(seconds=seconds)

    def test_an_order_that_never_left_is_decided_anew_on_the_same_candle(self, exchange: FakeExchange) -> None:
        context = context_of(exchange)
        run = running_bot(context, strategy="dca", parameters={"quote_amount": "50"})
        exchange.next_submits.append(SubmitFault.NOT_SENT)
        tick_run(run_id=run.id, context=context)
        tick_run(run_id=run.id, context=context)
        first, second = OrderIntent.objects.order_by("attempt")
        assert (first.state, second.state) == (IntentState.NOT_PLACED, IntentState.FILLED)
        assert (first.decision_id, second.attempt) == (second.decision_id, 2)
        assert first.cl_ord_id != second.cl_ord_id
        assert len(exchange.placed) == 1

    def test_while_an_order_is_in_doubt_nothing_is_bought(self, exchange: FakeExchange) -> None:
        context = context_of(exchange)
        run = running_bot(context, strategy="dca", parameters={"quote_amount": "50", "every_candles": 1})
        exchange.next_submits.append(SubmitFault.LOST_AFTER)
        for hour in range(4):
            tick_run(run_id=run.id, context=context)
            exchange.set_candles(exchange.candles["XBTUSD", 60][: 20 + hour])
        assert OrderIntent.objects.count() == len(exchange.submitted) == len(exchange.placed) == 1


def show_orders_after(exchange: FakeExchange, times: int) -> None:
    """Orders are missing in the first answers."""

    def late(found: dict[str, ExchangeOrder]) -> dict[str, ExchangeOrder]:
        return {} if exchange.calls.count("orders") <= times else found

    exchange.on("orders", after=late)


class TestLateTruth:
    def test_an_order_that_is_not_shown_at_once_stays_open_until_it_is(self, exchange: FakeExchange) -> None:
        show_orders_after(exchange, 2)
        intent = place(planned_order(exchange))
        assert intent.state == IntentState.FILLED
        assert Fill.objects.count() == 1

    def test_an_order_that_is_missing_in_every_answer_stays_open(self, exchange: FakeExchange) -> None:
        show_orders_after(exchange, 100)
        intent = place(planned_order(exchange))
        assert (intent.state, Fill.objects.count()) == (IntentState.OPEN, 0)
        assert intent.next_check_at is not None

    def test_an_ended_order_whose_trades_are_not_shown_yet_has_not_ended(self, exchange: FakeExchange) -> None:
        exchange.on("trades_of", instead=lambda trade_ids: {})
        exchange.on("trades_history", instead=lambda start=None: [])
        planned = planned_order(exchange)
        intent = place(planned)
        assert (intent.state, Fill.objects.count()) == (IntentState.OPEN, 0)

        exchange.off("trades_history")
        [intent] = orders_sync([intent], deps=planned.deps)
        assert (intent.state, Fill.objects.count()) == (IntentState.FILLED, 1)

    def test_a_failing_look_after_placement_loses_nothing(self, exchange: FakeExchange) -> None:
        planned = planned_order(exchange)
        exchange.on("orders", before=raising(ExchangeUnavailable("It does not answer.")))
        intent = place(planned)
        assert (intent.state, intent.txid) == (IntentState.OPEN, exchange.placed[0].exchange_order_id)


class TestRestingOrders:
    @pytest.fixture
    def resting(self, exchange: FakeExchange) -> Planned:
        planned = planned_order(exchange, kind=OrderKind.REST, price=Decimal(29000))
        place(planned)
        return planned

    def sync(self, planned: Planned) -> OrderIntent:
        [intent] = orders_sync(resting_intents(planned.run.id), deps=planned.deps)
        return intent

    def test_fills_in_parts_are_booked_as_they_come(self, exchange: FakeExchange, resting: Planned) -> None:
        exchange_order_id = exchange.placed[0].exchange_order_id
        exchange.fill(exchange_order_id, Decimal("0.004"))
        intent = self.sync(resting)
        assert (intent.state, intent.filled_volume) == (IntentState.PARTIAL, Decimal("0.004"))
        exchange.fill(exchange_order_id)
        intent = self.sync(resting)
        assert (intent.state, intent.filled_volume) == (IntentState.FILLED, Decimal("0.01"))
        assert Fill.objects.count() == 2
        assert Position.objects.get().base_volume == Decimal("0.01")

    def test_what_is_filled_is_no_longer_kept_back(self, exchange: FakeExchange, resting: Planned) -> None:
        before = Position.objects.get().quote_reserved
        exchange.fill(exchange.placed[0].exchange_order_id, Decimal("0.005"))
        self.sync(resting)
        assert Position.objects.get().quote_reserved == before / 2

    def test_the_same_answer_twice_books_once(self, exchange: FakeExchange, resting: Planned) -> None:
        exchange.fill(exchange.placed[0].exchange_order_id, Decimal("0.004"))
        self.sync(resting)
        self.sync(resting)
        assert Fill.objects.count() == 1
        assert Position.objects.get().base_volume == Decimal("0.004")

    def test_a_cancelled_order_keeps_its_fills(self, exchange: FakeExchange, resting: Planned) -> None:
        exchange_order_id = exchange.placed[0].exchange_order_id
        exchange.fill(exchange_order_id, Decimal("0.004"))
        exchange.end(exchange_order_id, OrderStatus.CANCELED, "User requested")
        intent = self.sync(resting)
        assert (intent.state, intent.filled_volume) == (IntentState.CANCELED, Decimal("0.004"))
        assert Position.objects.get().base_volume == Decimal("0.004")
        assert Position.objects.get().quote_reserved == 0

    def test_an_expired_order_says_so(self, exchange: FakeExchange, resting: Planned) -> None:
        exchange.end(exchange.placed[0].exchange_order_id, OrderStatus.EXPIRED)
        assert self.sync(resting).state == IntentState.EXPIRED

    def test_an_older_answer_does_not_take_back_a_newer_one(self, exchange: FakeExchange, resting: Planned) -> None:
        [old] = exchange.placed
        [stale] = resting_intents(resting.run.id)
        exchange.fill(old.exchange_order_id)
        self.sync(resting)
        intent = order_update(stale, old, deps=resting.deps)
        assert intent.state == IntentState.FILLED

    def test_one_order_a_side_is_all_that_a_bot_has(self, exchange: FakeExchange, resting: Planned) -> None:
        assert exposure_of(resting.run, position_get(resting.run), now=NOW).active_sides == {"buy"}

    def test_an_order_with_other_terms_than_ours_is_for_a_person(
        self, exchange: FakeExchange, resting: Planned
    ) -> None:
        [order] = exchange.placed
        exchange.rewrite(order.exchange_order_id, volume=Decimal(5))
        intent = self.sync(resting)
        assert (intent.state, intent.state_code) == (IntentState.NEEDS_HUMAN, "contradictory_evidence")
        error = stream_list(aggregate_type="bot", aggregate_id=resting.run.bot_id)[-1].message()
        assert isinstance(error, BotError)
        assert (error.code, error.is_final) == ("order_needs_human", False)

    def test_a_contradiction_found_after_fills_does_not_take_them_back(
        self, exchange: FakeExchange, resting: Planned
    ) -> None:
        [order] = exchange.placed
        ours = exchange.fill(order.exchange_order_id, Decimal("0.004"))
        foreign = replace(ours, trade_id="TFOREIGN", exchange_order_id="OFOREIGN")
        exchange.on("trades_of", after=lambda trades: {**trades, "TFOREIGN": foreign})
        intent = self.sync(resting)
        assert (intent.state, intent.state_code) == (IntentState.NEEDS_HUMAN, "contradictory_evidence")
        assert (intent.filled_volume, Fill.objects.get().exchange_trade_id) == (Decimal("0.004"), ours.trade_id)
        assert Position.objects.get().base_volume == Decimal("0.004")

    def test_more_trades_than_were_ordered_are_booked_as_far_as_they_fit(
        self, exchange: FakeExchange, resting: Planned
    ) -> None:
        [order] = exchange.placed
        first = exchange.fill(order.exchange_order_id, Decimal("0.004"))
        more = replace(first, trade_id="TMORE", volume=Decimal("0.007"), executed_at=NOW + timedelta(seconds=1))
        exchange.on("trades_of", after=lambda trades: {**trades, "TMORE": more})
        assert self.sync(resting).state == IntentState.NEEDS_HUMAN
        assert Position.objects.get().base_volume == Decimal("0.004")

    def test_an_order_that_is_closed_a_lot_short_ends_with_what_was_executed(
        self, exchange: FakeExchange, resting: Planned
    ) -> None:
        """Kraken's orders of which an insignificant rest is left (recorded: 0.01299999 of 0.013)."""
        [order] = exchange.placed
        trade = exchange.fill(order.exchange_order_id, Decimal("0.00999999"))
        exchange.end(order.exchange_order_id, OrderStatus.CLOSED, "Insignificant volume remaining")
        intent = self.sync(resting)
        assert (intent.state, intent.state_code) == (IntentState.FILLED, "Insignificant volume remaining")
        assert intent.filled_volume == Decimal("0.00999999")
        position = Position.objects.get()
        assert (position.base_volume, position.quote_reserved) == (Decimal("0.00999999"), 0)
        assert position.quote_spent == trade.cost + trade.fee

    def test_a_close_a_lot_short_without_a_reason_is_said_all_the_same(
        self, exchange: FakeExchange, resting: Planned
    ) -> None:
        [order] = exchange.placed
        exchange.fill(order.exchange_order_id, Decimal("0.00999999"))
        exchange.end(order.exchange_order_id, OrderStatus.CLOSED)
        intent = self.sync(resting)
        assert (intent.state, intent.state_code) == (IntentState.FILLED, "closed_short")

    def test_an_order_closed_short_waits_for_its_fills(self, exchange: FakeExchange, resting: Planned) -> None:
        [order] = exchange.placed
        exchange.fill(order.exchange_order_id, Decimal("0.00999999"))
        exchange.end(order.exchange_order_id, OrderStatus.CLOSED, "Insignificant volume remaining")
        exchange.on("trades_of", instead=lambda trade_ids: {})
        exchange.on("trades_history", instead=lambda start=None: [])
        assert self.sync(resting).is_resting
        exchange.off("trades_of")
        assert self.sync(resting).state == IntentState.FILLED

    def test_an_order_closed_with_nothing_executed_is_for_a_person(
        self, exchange: FakeExchange, resting: Planned
    ) -> None:
        exchange.end(exchange.placed[0].exchange_order_id, OrderStatus.CLOSED)
        intent = self.sync(resting)
        assert (intent.state, intent.state_code) == (IntentState.NEEDS_HUMAN, "contradictory_evidence")

    def test_a_fill_that_a_constraint_refuses_is_for_a_person(self, exchange: FakeExchange) -> None:
        """A sale of what the books do not have: the fact is not lost, it waits with its evidence."""
        planned = planned_order(exchange)
        place(planned)
        sale = planned_sale(planned)
        Position.objects.update(base_volume=Decimal(0), base_reserved=Decimal(0))
        intent = order_place(lease=planned.lease, intent_id=sale.id, deps=planned.deps).intent
        assert (intent.state, intent.state_code) == (IntentState.NEEDS_HUMAN, "constraint_violated")
        assert "trading_position" in intent.evidence[-1]["because"]


def planned_sale(planned: Planned) -> OrderIntent:
    order = DecidedOrder("sell", OrderKind.TAKE, Decimal(29000), Decimal("0.01"), "test", "d" * 32)
    intent = intent_plan(lease=planned.lease, order=order, decides_candle=False, now=NOW)
    assert intent is not None
    return intent


def test_an_order_that_was_given_up_and_turns_up_after_all_contradicts_the_proof(exchange: FakeExchange) -> None:
    exchange.next_submits.append(SubmitFault.NOT_SENT)
    intent = place(planned_order(exchange))
    with pytest.raises(ContradictoryEvidence):
        intent_accepted(intent_id=intent.id, exchange_order_id="OABC", source="AddOrder", now=NOW)
    intent.refresh_from_db()
    assert intent.state == IntentState.NOT_PLACED


def test_a_contradiction_is_told_even_by_a_worker_that_lost_its_lease(exchange: FakeExchange) -> None:
    planned = planned_order(exchange)

    def take_long(order: OrderRequest) -> None:
        """Meanwhile others hold the order for lost, and prove it absent."""
        lease_take(run_id=planned.run.id, now=NOW + timedelta(minutes=10))
        evidence = {"grade": "B"}
        intent_end(intent_id=planned.intent.id, state=IntentState.NOT_PLACED, code="x", evidence=evidence, now=NOW)

    exchange.on("submit", before=take_long)
    with pytest.raises(ContradictoryEvidence):
        place(planned)
    intent = only_intent()
    assert (intent.state, intent.evidence[-1]["txid"]) == (IntentState.NOT_PLACED, exchange.placed[0].exchange_order_id)
    error = stream_list(aggregate_type="bot", aggregate_id=planned.run.bot_id)[-1].message()
    assert isinstance(error, BotError)
    assert error.code == "contradictory_evidence"


def test_a_late_answer_to_an_order_in_doubt_is_evidence_of_its_own(exchange: FakeExchange) -> None:
    """A worker that was taken for dead comes back with the exchange's answer."""
    exchange.next_submits.append(SubmitFault.LOST_AFTER)
    intent = place(planned_order(exchange))
    intent = intent_accepted(
        intent_id=intent.id, exchange_order_id=exchange.placed[0].exchange_order_id, source="AddOrder", now=NOW
    )
    assert (intent.state, intent.txid) == (IntentState.OPEN, exchange.placed[0].exchange_order_id)


def test_words_that_nobody_knows_are_doubt(exchange: FakeExchange) -> None:
    planned = planned_order(exchange)
    unknown = OutcomeUnknown("EGeneral:Something new", client_order_id=planned.intent.cl_ord_id, is_alarming=True)
    exchange.on("submit", before=raising(unknown))
    assert place(planned).state == IntentState.UNKNOWN


def test_a_settled_placement_forgets_the_last_skip(exchange: FakeExchange) -> None:
    planned = planned_order(exchange)
    BotRun.objects.update(skip_reason="buy:budget_exhausted")
    placement = order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
    placement_apply(placement, side=Side.BUY, lease=planned.lease, deps=planned.deps)
    assert BotRun.objects.get().skip_reason == ""


def test_over_the_budget_of_calls_nothing_is_placed_and_the_run_waits(exchange: FakeExchange) -> None:
    planned = planned_order(exchange)
    exchange.on("submit", before=raising(OverBudget("Wait 20 s.", retry_after_seconds=20)))
    placement = order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
    placement_apply(placement, side=Side.BUY, lease=planned.lease, deps=planned.deps)
    intent, run = only_intent(), BotRun.objects.get()
    assert (intent.state, intent.state_code) == (IntentState.NOT_PLACED, "exchange_over_budget")
    assert (run.state, run.next_tick_at, run.is_idle) == (RunState.RUNNING, NOW + timedelta(seconds=20), False)
    assert exchange.submitted == []
