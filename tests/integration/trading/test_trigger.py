"""Trading because somebody asked: once, under the same rules, with an answer in words."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from apps.events.store.selectors import stream_list
from apps.exchange.errors import NotSent
from apps.messages.trading import BotTradeSkipped
from apps.trading.errors import BotNotRunning, OrderRejected, StrategyHolds, TradeRefused
from apps.trading.models.ledger import Fill, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.run_lease import LEASE, lease_take
from apps.trading.services.runs.manual_trade import trade_trigger
from apps.trading.services.runs.tick import tick_run
from tests.factories.fake_account import INSUFFICIENT_FUNDS
from tests.factories.fake_exchange import FakeExchange, SubmitFault
from tests.factories.trading import (
    FALLING,
    NOW,
    SteppingClock,
    fake_exchange,
    only_intent,
    running_bot,
    trigger_command,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def exchange() -> FakeExchange:
    return fake_exchange(FALLING)


@pytest.fixture
def run(context: ExecutionContext) -> BotRun:
    return running_bot(context)


def test_a_purchase_that_was_asked_for_is_made_against_the_strategy(run: BotRun, context: ExecutionContext) -> None:
    trade_trigger(command=trigger_command(run, side="buy", quote_amount=Decimal(100)), context=context)
    intent = only_intent()
    assert (intent.state, intent.side, intent.reason) == (IntentState.FILLED, "buy", "asked for")
    assert 99 < Position.objects.get().quote_spent <= 100


def test_without_an_amount_it_buys_for_all_that_is_left(run: BotRun, context: ExecutionContext) -> None:
    trade_trigger(command=trigger_command(run, side="buy"), context=context)
    assert 980 < Position.objects.get().quote_spent <= 1000


def test_a_sale_that_was_asked_for_sells_all(run: BotRun, context: ExecutionContext) -> None:
    trade_trigger(command=trigger_command(run, side="buy"), context=context)
    trade_trigger(command=trigger_command(run, side="sell"), context=context)
    assert Position.objects.get().base_volume == 0


def test_the_strategy_decides_where_no_side_is_given(context: ExecutionContext) -> None:
    run = running_bot(context, strategy="dca", parameters={"quote_amount": "50", "every_candles": 24})
    tick_run(run_id=run.id, context=context)
    trade_trigger(command=trigger_command(run), context=context)
    assert Fill.objects.count() == 2


def test_a_strategy_that_sees_nothing_to_trade_says_so(run: BotRun, context: ExecutionContext) -> None:
    with pytest.raises(StrategyHolds) as error:
        trade_trigger(command=trigger_command(run), context=context)
    assert not error.value.retryable
    assert OrderIntent.objects.count() == 0


def test_the_same_command_twice_is_one_order(run: BotRun, context: ExecutionContext, exchange: FakeExchange) -> None:
    command = trigger_command(run, side="buy", quote_amount=Decimal(100))
    trade_trigger(command=command, context=context)
    trade_trigger(command=command, context=context)
    assert OrderIntent.objects.count() == len(exchange.placed) == 1


def test_two_commands_are_two_orders(run: BotRun, context: ExecutionContext, exchange: FakeExchange) -> None:
    for _ in range(2):
        trade_trigger(command=trigger_command(run, side="buy", quote_amount=Decimal(100)), context=context)
    assert len(exchange.placed) == 2


def test_it_does_not_use_up_the_candle(run: BotRun, context: ExecutionContext) -> None:
    trade_trigger(command=trigger_command(run, side="buy", quote_amount=Decimal(100)), context=context)
    run.refresh_from_db()
    assert run.decided_candle_at is None


def test_a_rule_that_holds_it_back_is_named_and_announced_every_time(run: BotRun, context: ExecutionContext) -> None:
    for _ in range(2):
        with pytest.raises(TradeRefused) as error:
            trade_trigger(command=trigger_command(run, side="sell"), context=context)
        assert error.value.details["rule"] == "nothing_to_sell"
        assert not error.value.retryable
    story = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)]
    assert [message.code for message in story if isinstance(message, BotTradeSkipped)] == ["nothing_to_sell"] * 2


def test_an_order_that_the_exchange_refuses_is_not_tried_again(
    run: BotRun, context: ExecutionContext, exchange: FakeExchange
) -> None:
    exchange.next_submits.append(INSUFFICIENT_FUNDS)
    with pytest.raises(OrderRejected) as error:
        trade_trigger(command=trigger_command(run, side="buy"), context=context)
    assert not error.value.retryable
    run.refresh_from_db()
    assert run.decided_candle_at is None


def test_an_order_that_never_left_is_tried_again_as_a_new_attempt(
    run: BotRun, context: ExecutionContext, exchange: FakeExchange
) -> None:
    command = trigger_command(run, side="buy")
    exchange.next_submits.append(SubmitFault.NOT_SENT)
    with pytest.raises(NotSent) as error:
        trade_trigger(command=command, context=context)
    assert error.value.retryable
    trade_trigger(command=command, context=context)
    assert list(OrderIntent.objects.order_by("attempt").values_list("state", flat=True)) == ["not_placed", "filled"]
    assert len(exchange.placed) == 1


def test_an_order_in_doubt_is_not_sent_again_with_its_command(
    run: BotRun, context: ExecutionContext, exchange: FakeExchange
) -> None:
    command = trigger_command(run, side="buy")
    exchange.next_submits.append(SubmitFault.LOST_AFTER)
    trade_trigger(command=command, context=context)
    assert only_intent().state == IntentState.UNKNOWN
    trade_trigger(command=command, context=context)
    assert OrderIntent.objects.count() == len(exchange.submitted) == 1


def test_a_bot_that_does_not_run_does_not_trade(run: BotRun, context: ExecutionContext) -> None:
    BotRun.objects.update(state=RunState.STOPPED, stopped_at=NOW)
    with pytest.raises(BotNotRunning) as error:
        trade_trigger(command=trigger_command(run, side="buy"), context=context)
    assert not error.value.retryable


def test_another_users_bot_is_not_traded(run: BotRun, context: ExecutionContext) -> None:
    command = trigger_command(run, side="buy").model_copy(update={"user_id": uuid4()})
    with pytest.raises(BotNotRunning):
        trade_trigger(command=command, context=context)
    assert OrderIntent.objects.count() == 0


def test_it_waits_for_a_worker_that_died(run: BotRun, context: ExecutionContext, clock: SteppingClock) -> None:
    assert lease_take(run_id=run.id, now=NOW) is not None
    trade_trigger(command=trigger_command(run, side="buy"), context=context)
    assert clock() >= NOW + LEASE
    assert clock() < NOW + LEASE + timedelta(seconds=5)
