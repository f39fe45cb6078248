"""Stopping a bot: nothing new is sent, what is open is taken off and proved gone, and the end is announced once."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from apps.events.commands.delivery import CommandDropped, ExecutionLost
from apps.events.store.selectors import command_execution_get, stream_list
from apps.exchange.errors import ExchangeUnavailable
from apps.exchange.types import Cancellation, OrderStatus
from apps.messages.bots import BotStopped, StopBot
from apps.risk.models.switches import BotSwitch
from apps.trading.errors import BotBusy, FlattenIncomplete
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.run_lease import LEASE, lease_take
from apps.trading.services.orders.placement import order_place
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs.schedule import runs_take_due
from apps.trading.services.runs.start import run_start
from apps.trading.services.runs.stop import run_stop
from apps.trading.services.runs.tick import tick_run
from tests.factories.fake_exchange import FakeExchange, SubmitFault
from tests.factories.trading import (
    NOW,
    SteppingClock,
    context_of,
    delivery_of,
    fake_exchange,
    only_intent,
    planned_order,
    running_bot,
    start_command,
    stop_command,
)

pytestmark = pytest.mark.django_db


class Bot:
    """A running bot on an exchange in memory."""

    def __init__(self, **config: Any) -> None:
        self.exchange: FakeExchange = fake_exchange()
        self.clock = SteppingClock()
        self.context = context_of(self.exchange, self.clock)
        self.run = running_bot(self.context, **config)

    def buy(self) -> None:
        tick_run(run_id=self.run.id, context=self.context)

    def stop(self, manner: str = "stop", command: StopBot | None = None) -> BotStopped:
        command = command or stop_command(self.run, manner=manner)
        run_stop(command=command, delivery=delivery_of(command), context=self.context)
        return self.last_word()

    def last_word(self) -> BotStopped:
        message = stream_list(aggregate_type="bot", aggregate_id=self.run.bot_id)[-1].message()
        assert isinstance(message, BotStopped)
        return message

    @property
    def state(self) -> str:
        return BotRun.objects.get(id=self.run.id).state


class RestingBot(Bot):
    """A running bot with an order on the book, a fifth below the market."""

    def __init__(self, *, fault: SubmitFault | None = None) -> None:
        self.exchange = fake_exchange([30000] * 30)
        self.clock = SteppingClock()
        self.context = context_of(self.exchange, self.clock)
        planned = planned_order(self.exchange, self.clock, kind=OrderKind.REST, price=Decimal(24000))
        if fault is not None:
            self.exchange.next_submits.append(fault)
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
        planned.lease.release()
        self.run = planned.run


def test_a_stopped_bot_says_so_and_the_command_is_done() -> None:
    bot = Bot()
    command = stop_command(bot.run)
    stopped = bot.stop(command=command)
    assert (stopped.manner, stopped.run_id, stopped.command_id) == ("stop", bot.run.id, command.command_id)
    assert stopped.open_orders == ()
    assert bot.state == RunState.STOPPED
    execution = command_execution_get(command_id=command.command_id)
    assert execution is not None
    assert execution.state == "done"


def test_a_stopped_bot_is_not_due_and_does_not_tick() -> None:
    bot = Bot()
    bot.stop()
    assert runs_take_due(now=NOW + timedelta(days=1), tick_seconds=1) == []
    assert tick_run(run_id=bot.run.id, context=bot.context) == "not_running"
    assert bot.exchange.submitted == []


def test_a_stop_keeps_what_the_bot_holds() -> None:
    bot = Bot()
    bot.buy()
    bot.stop()
    assert Position.objects.get().base_volume > 0
    assert len(bot.exchange.submitted) == 1


def test_an_open_order_is_cancelled_and_proved_gone() -> None:
    bot = RestingBot()
    assert bot.stop().open_orders == ()
    assert bot.exchange.placed[0].status == OrderStatus.CANCELED
    assert only_intent().state == IntentState.CANCELED
    assert Position.objects.get().quote_reserved == 0


def test_a_pause_keeps_open_orders_and_names_them() -> None:
    bot = RestingBot()
    stopped = bot.stop("pause")
    assert (stopped.manner, stopped.open_orders) == ("pause", (only_intent().cl_ord_id,))
    assert bot.exchange.placed[0].status == OrderStatus.OPEN
    assert bot.state == RunState.STOPPED


def test_fills_of_a_paused_bots_order_are_booked_by_the_reconciler() -> None:
    bot = RestingBot()
    bot.stop("pause")
    bot.exchange.fill(bot.exchange.placed[0].exchange_order_id)
    bot.clock.sleep(60)
    orders_reconcile(context=bot.context)
    assert only_intent().state == IntentState.FILLED
    assert Position.objects.get().base_volume == Decimal("0.01")


def test_a_stop_cancels_what_an_earlier_paused_run_left() -> None:
    bot = RestingBot()
    bot.stop("pause")
    again = start_command(
        bot_id=bot.run.bot_id, requested_at=NOW + timedelta(minutes=5), credential_id=bot.run.credential_id
    )
    again = again.model_copy(update={"user_id": bot.run.user_id})
    run = run_start(command=again, delivery=delivery_of(again), context=bot.context)
    assert bot.stop(command=stop_command(run)).open_orders == ()
    assert only_intent().state == IntentState.CANCELED


def test_an_order_that_cannot_be_proved_gone_is_named_and_looked_after() -> None:
    bot = RestingBot()
    bot.exchange.on("cancel", instead=lambda **_: Cancellation(0))
    stopped = bot.stop()
    assert stopped.open_orders == (only_intent().cl_ord_id,)
    assert bot.state == RunState.STOPPED

    bot.exchange.off("cancel")
    bot.clock.sleep(60)
    orders_reconcile(context=bot.context)
    assert bot.exchange.placed[0].status == OrderStatus.CANCELED
    assert only_intent().state == IntentState.CANCELED


def test_a_cancel_that_a_fill_came_before_books_the_fill() -> None:
    bot = RestingBot()
    bot.exchange.fill(bot.exchange.placed[0].exchange_order_id)
    assert bot.stop().open_orders == ()
    assert only_intent().state == IntentState.FILLED
    assert Position.objects.get().base_volume == Decimal("0.01")


def test_an_exchange_that_does_not_answer_does_not_keep_a_bot_running() -> None:
    bot = RestingBot()
    bot.exchange.fail_reads(*[ExchangeUnavailable("The exchange does not answer.")] * 3)
    stopped = bot.stop()
    assert stopped.open_orders == (only_intent().cl_ord_id,)
    assert "does not answer" in stopped.reason
    assert only_intent().cancel_requested_at is not None


def test_an_order_in_doubt_is_cancelled_by_its_client_id_and_resolved_when_it_may_be() -> None:
    bot = RestingBot(fault=SubmitFault.LOST_AFTER)
    assert only_intent().state == IntentState.UNKNOWN
    assert bot.stop().open_orders == ()
    assert bot.exchange.placed[0].status == OrderStatus.CANCELED
    assert only_intent().state == IntentState.CANCELED


def test_an_order_in_doubt_that_is_nowhere_is_named() -> None:
    bot = RestingBot(fault=SubmitFault.LOST_BEFORE)
    assert bot.stop().open_orders == (only_intent().cl_ord_id,)
    assert only_intent().state == IntentState.UNKNOWN


class TestFlatten:
    def test_it_sells_what_the_bot_holds(self) -> None:
        bot = Bot()
        bot.buy()
        stopped = bot.stop("flatten")
        assert (stopped.manner, stopped.open_orders) == ("flatten", ())
        assert Position.objects.get().base_volume == 0
        assert [order.side.value for order in bot.exchange.placed] == ["buy", "sell"]
        assert bot.state == RunState.STOPPED

    def test_it_sells_nothing_where_nothing_is_held(self) -> None:
        bot = Bot()
        bot.stop("flatten")
        assert bot.exchange.submitted == []
        assert bot.state == RunState.STOPPED

    def test_an_open_purchase_is_cancelled_first_and_its_part_sold(self) -> None:
        bot = RestingBot()
        bot.exchange.fill(bot.exchange.placed[0].exchange_order_id, Decimal("0.004"))
        bot.stop("flatten")
        buy, sell = bot.exchange.placed
        assert (buy.status, sell.volume) == (OrderStatus.CANCELED, Decimal("0.004"))
        assert Position.objects.get().base_volume == 0

    def test_a_stopped_bot_that_still_holds_can_be_flattened(self) -> None:
        bot = Bot()
        bot.buy()
        bot.stop()
        bot.stop("flatten", command=stop_command(bot.run, manner="flatten", requested_at=NOW + timedelta(hours=1)))
        assert Position.objects.get().base_volume == 0
        assert bot.state == RunState.STOPPED

    def test_a_sale_whose_outcome_is_unknown_is_not_repeated_but_tried_again_later(self) -> None:
        bot = Bot()
        bot.buy()
        command = stop_command(bot.run, manner="flatten")
        bot.exchange.next_submits.append(SubmitFault.LOST_AFTER)
        with pytest.raises(FlattenIncomplete) as error:
            bot.stop(command=command)
        assert error.value.retryable
        assert bot.state == RunState.FLATTENING
        assert len(bot.exchange.submitted) == 2

        bot.clock.sleep(30)
        delivery = delivery_of(command, now=bot.clock() + timedelta(minutes=1))
        run_stop(command=command, delivery=delivery, context=bot.context)
        assert len(bot.exchange.submitted) == 2
        assert Position.objects.get().base_volume == 0
        assert bot.state == RunState.STOPPED

    def test_on_the_last_attempt_it_stops_with_the_position_and_says_why(self) -> None:
        bot = Bot()
        bot.buy()
        command = stop_command(bot.run, manner="flatten")
        for attempt in range(1, 6):
            bot.exchange.next_submits.append(SubmitFault.NOT_SENT)
            delivery = delivery_of(command, now=NOW + timedelta(minutes=attempt))
            assert delivery.is_last_attempt is (attempt == 5)
            if attempt < 5:
                with pytest.raises(FlattenIncomplete):
                    run_stop(command=command, delivery=delivery, context=bot.context)
            else:
                run_stop(command=command, delivery=delivery, context=bot.context)
        assert "not all could be done" in bot.last_word().reason
        assert Position.objects.get().base_volume > 0
        assert bot.state == RunState.STOPPED


class TestRaces:
    def test_a_stop_of_a_bot_that_does_not_run_says_so(self) -> None:
        bot = Bot()
        bot.stop()
        command = stop_command(bot.run, requested_at=NOW + timedelta(hours=1))
        stopped = bot.stop(command=command)
        assert (stopped.run_id, stopped.command_id) == (None, command.command_id)

    def test_a_stop_that_overtakes_its_start_wins(self) -> None:
        start = start_command()
        command = StopBot(
            command_id=start.config.credential_id,
            bot_id=start.bot_id,
            user_id=start.user_id,
            requested_at=NOW + timedelta(seconds=1),
            expires_at=NOW + timedelta(days=1),
        )
        context = context_of(fake_exchange())
        run_stop(command=command, delivery=delivery_of(command), context=context)
        with pytest.raises(CommandDropped, match="superseded"):
            run_start(command=start, delivery=delivery_of(start), context=context)
        assert BotRun.objects.count() == 0

    def test_a_stop_asked_for_before_the_last_start_is_not_wanted(self) -> None:
        bot = Bot()
        command = stop_command(bot.run, requested_at=NOW - timedelta(minutes=1))
        with pytest.raises(CommandDropped, match="superseded"):
            bot.stop(command=command)
        assert bot.state == RunState.RUNNING

    def test_another_users_bot_is_not_stopped(self) -> None:
        bot = Bot()
        with pytest.raises(CommandDropped, match="another user"):
            bot.stop(command=stop_command(bot.run).model_copy(update={"user_id": uuid4()}))
        assert bot.state == RunState.RUNNING

    def test_the_latest_stop_is_remembered(self) -> None:
        bot = Bot()
        bot.stop()
        assert BotSwitch.objects.get().stop_requested_at == NOW + timedelta(minutes=1)

    def test_it_waits_for_a_tick_that_is_under_way(self) -> None:
        bot = Bot()
        lease = lease_take(run_id=bot.run.id, now=NOW)
        assert lease is not None
        sleep = bot.clock.sleep
        naps: list[float] = []

        def nap(seconds: float) -> None:
            sleep(seconds)
            naps.append(seconds)
            if len(naps) == 3:
                lease.release()

        bot.context = replace(bot.context, sleep=nap)
        bot.stop()
        assert len(naps) == 3

    def test_it_takes_over_from_a_worker_that_died(self) -> None:
        bot = Bot()
        assert lease_take(run_id=bot.run.id, now=NOW) is not None
        bot.stop()
        assert bot.state == RunState.STOPPED
        assert bot.clock() >= NOW + LEASE

    def test_two_stops_at_once_are_done_one_after_the_other(self) -> None:
        bot = Bot()
        first, second = stop_command(bot.run), stop_command(bot.run)
        BotRun.objects.update(state=RunState.STOPPING, stop_command_id=first.command_id)
        delivery_of(first)
        with pytest.raises(BotBusy):
            bot.stop(command=second)

    def test_a_stop_whose_worker_gave_up_does_not_bar_the_next(self) -> None:
        bot = Bot()
        first = stop_command(bot.run)
        BotRun.objects.update(state=RunState.STOPPING, stop_command_id=first.command_id)
        delivery_of(first).fail("gave up", now=NOW)
        bot.stop()
        assert bot.state == RunState.STOPPED

    def test_a_worker_that_lost_the_command_ends_nothing(self) -> None:
        bot = Bot()
        command = stop_command(bot.run)
        lost = delivery_of(command)
        delivery_of(command, now=NOW + timedelta(minutes=1))
        with pytest.raises(ExecutionLost):
            run_stop(command=command, delivery=lost, context=bot.context)
        assert bot.state == RunState.STOPPING
        assert len(stream_list(aggregate_type="bot", aggregate_id=bot.run.bot_id)) == 1

    def test_an_order_that_was_stored_and_not_sent_is_dropped(self) -> None:
        exchange, clock = fake_exchange(), SteppingClock()
        planned = planned_order(exchange, clock)
        command = stop_command(planned.run)
        run_stop(command=command, delivery=delivery_of(command), context=context_of(exchange, clock))
        assert only_intent().state == IntentState.NOT_PLACED
        assert exchange.submitted == []


def test_what_happens_to_the_orders_of_a_run_that_failed() -> None:
    """An error ends the run, not the care for its orders."""
    bot = RestingBot()
    BotRun.objects.update(state=RunState.ERROR, stopped_at=NOW)
    bot.exchange.fill(bot.exchange.placed[0].exchange_order_id)
    bot.clock.sleep(60)
    orders_reconcile(context=bot.context)
    assert OrderIntent.objects.get().state == IntentState.FILLED
