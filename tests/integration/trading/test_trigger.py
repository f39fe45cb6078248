"""Trading because somebody asked: once, under the same rules, with an answer in words."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from apps.events.store.selectors import stream_list
from apps.exchange.errors import NotSent
from apps.exchange.fake import INSUFFICIENT_FUNDS, SubmitFault
from apps.messages.trading import BotTradeSkipped
from apps.trading.errors import BotNotRunning, OrderRejected, StrategyHolds, TradeRefused
from apps.trading.models.ledger import Fill, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.dependencies import Outside
from apps.trading.services.context.run_lease import LEASE, lease_take
from apps.trading.services.runs.manual_trade import trade_trigger
from apps.trading.services.runs.tick import tick_run
from tests.factories.trading import (
    FALLING,
    NOW,
    SteppingClock,
    StrictExchange,
    fake_exchange,
    only_intent,
    outside_of,
    running_bot,
    trigger_command,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def exchange() -> StrictExchange:
    return fake_exchange(FALLING)


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def outside(exchange: StrictExchange, clock: SteppingClock) -> Outside:
    return outside_of(exchange, clock)


@pytest.fixture
def run(outside: Outside) -> BotRun:
    return running_bot(outside)


def test_a_purchase_that_was_asked_for_is_made_against_the_strategy(run: BotRun, outside: Outside) -> None:
    trade_trigger(command=trigger_command(run, side="buy", quote_amount=Decimal(100)), outside=outside)
    intent = only_intent()
    assert (intent.state, intent.side, intent.reason) == (IntentState.FILLED, "buy", "asked for")
    assert 99 < Position.objects.get().quote_spent <= 100


def test_without_an_amount_it_buys_for_all_that_is_left(run: BotRun, outside: Outside) -> None:
    trade_trigger(command=trigger_command(run, side="buy"), outside=outside)
    assert 980 < Position.objects.get().quote_spent <= 1000


def test_a_sale_that_was_asked_for_sells_all(run: BotRun, outside: Outside) -> None:
    trade_trigger(command=trigger_command(run, side="buy"), outside=outside)
    trade_trigger(command=trigger_command(run, side="sell"), outside=outside)
    assert Position.objects.get().base_volume == 0


def test_the_strategy_decides_where_no_side_is_given(outside: Outside) -> None:
    run = running_bot(outside, strategy="dca", parameters={"quote_amount": "50", "every_candles": 24})
    tick_run(run_id=run.id, outside=outside)
    trade_trigger(command=trigger_command(run), outside=outside)
    assert Fill.objects.count() == 2


def test_a_strategy_that_sees_nothing_to_trade_says_so(run: BotRun, outside: Outside) -> None:
    with pytest.raises(StrategyHolds) as error:
        trade_trigger(command=trigger_command(run), outside=outside)
    assert not error.value.retryable
    assert OrderIntent.objects.count() == 0


def test_the_same_command_twice_is_one_order(run: BotRun, outside: Outside, exchange: StrictExchange) -> None:
    command = trigger_command(run, side="buy", quote_amount=Decimal(100))
    trade_trigger(command=command, outside=outside)
    trade_trigger(command=command, outside=outside)
    assert OrderIntent.objects.count() == len(exchange.placed) == 1


def test_two_commands_are_two_orders(run: BotRun, outside: Outside, exchange: StrictExchange) -> None:
    for _ in range(2):
        trade_trigger(command=trigger_command(run, side="buy", quote_amount=Decimal(100)), outside=outside)
    assert len(exchange.placed) == 2


def test_it_does_not_use_up_the_candle(run: BotRun, outside: Outside) -> None:
    trade_trigger(command=trigger_command(run, side="buy", quote_amount=Decimal(100)), outside=outside)
    run.refresh_from_db()
    assert run.decided_candle_at is None


def test_a_rule_that_holds_it_back_is_named_and_announced_every_time(run: BotRun, outside: Outside) -> None:
    for _ in range(2):
        with pytest.raises(TradeRefused) as error:
            trade_trigger(command=trigger_command(run, side="sell"), outside=outside)
        assert error.value.details["rule"] == "nothing_to_sell"
        assert not error.value.retryable
    story = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)]
    assert [message.code for message in story if isinstance(message, BotTradeSkipped)] == ["nothing_to_sell"] * 2


def test_an_order_that_the_exchange_refuses_is_not_tried_again(
    run: BotRun, outside: Outside, exchange: StrictExchange
) -> None:
    exchange.next_submits.append(INSUFFICIENT_FUNDS)
    with pytest.raises(OrderRejected) as error:
        trade_trigger(command=trigger_command(run, side="buy"), outside=outside)
    assert not error.value.retryable
    run.refresh_from_db()
    assert run.decided_candle_at is None


def test_an_order_that_never_left_is_tried_again_as_a_new_attempt(
    run: BotRun, outside: Outside, exchange: StrictExchange
) -> None:
    command = trigger_command(run, side="buy")
    exchange.next_submits.append(SubmitFault.NOT_SENT)
    with pytest.raises(NotSent) as error:
        trade_trigger(command=command, outside=outside)
    assert error.value.retryable
    trade_trigger(command=command, outside=outside)
    assert list(OrderIntent.objects.order_by("attempt").values_list("state", flat=True)) == ["not_placed", "filled"]
    assert len(exchange.placed) == 1


def test_an_order_in_doubt_is_not_sent_again_with_its_command(
    run: BotRun, outside: Outside, exchange: StrictExchange
) -> None:
    command = trigger_command(run, side="buy")
    exchange.next_submits.append(SubmitFault.LOST_AFTER)
    trade_trigger(command=command, outside=outside)
    assert only_intent().state == IntentState.UNKNOWN
    trade_trigger(command=command, outside=outside)
    assert OrderIntent.objects.count() == len(exchange.submitted) == 1


def test_a_bot_that_does_not_run_does_not_trade(run: BotRun, outside: Outside) -> None:
    BotRun.objects.update(state=RunState.STOPPED, stopped_at=NOW)
    with pytest.raises(BotNotRunning) as error:
        trade_trigger(command=trigger_command(run, side="buy"), outside=outside)
    assert not error.value.retryable


def test_another_users_bot_is_not_traded(run: BotRun, outside: Outside) -> None:
    command = trigger_command(run, side="buy").model_copy(update={"user_id": uuid4()})
    with pytest.raises(BotNotRunning):
        trade_trigger(command=command, outside=outside)
    assert OrderIntent.objects.count() == 0


def test_it_waits_for_a_worker_that_died(run: BotRun, outside: Outside, clock: SteppingClock) -> None:
    assert lease_take(run_id=run.id, now=NOW) is not None
    trade_trigger(command=trigger_command(run, side="buy"), outside=outside)
    assert clock() > NOW + LEASE
    assert clock() < NOW + LEASE + timedelta(seconds=5)
