"""A tick: one decision a candle, one order a decision, and one word about what held a trade back."""

from datetime import timedelta
from decimal import Decimal

import pytest

from apps.events.store.selectors import stream_list
from apps.exchange.errors import ExchangeUnavailable, KeyInvalid
from apps.messages.base import Message
from apps.messages.bots import BotError, BotStopped
from apps.messages.orders import OrderFacts
from apps.messages.trading import BotTradeExecuted, BotTradeSkipped, TradeExecuted
from apps.trading.models.ledger import Fill, LedgerAccount, LedgerEntry, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.run_lease import lease_take
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.factories.fake_account import INSUFFICIENT_FUNDS
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import (
    FALLING,
    NOW,
    SteppingClock,
    add_candle,
    context_of,
    fake_exchange,
    only_intent,
    running_bot,
)

pytestmark = pytest.mark.django_db


def story(run: BotRun) -> list[Message]:
    """What was published of the bot after its start, other than the steps of its orders."""
    told = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)][1:]
    return [message for message in told if not isinstance(message, OrderFacts)]


def test_the_first_tick_buys_where_the_signal_stands(exchange: FakeExchange, context: ExecutionContext) -> None:
    run = running_bot(context)
    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED

    intent = only_intent()
    assert (intent.state, intent.side, intent.filled_volume) == (IntentState.FILLED, "buy", intent.volume)
    [placed] = exchange.placed
    assert (placed.exchange_order_id, placed.client_order_id, placed.volume) == (
        intent.txid,
        intent.cl_ord_id,
        intent.volume,
    )
    assert intent.candle_at == exchange.candles["XBTUSD", 60][-1].opened_at


def test_a_fill_moves_position_and_books_and_is_announced_twice(
    exchange: FakeExchange, context: ExecutionContext
) -> None:
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)

    fill, position = Fill.objects.get(), Position.objects.get()
    assert (position.base_volume, position.quote_spent) == (fill.volume, fill.cost + fill.fee)
    assert (position.base_reserved, position.quote_reserved) == (0, 0)
    cash = LedgerEntry.objects.get(account=LedgerAccount.CASH)
    assert (cash.asset, cash.amount) == ("ZUSD", -fill.cost - fill.fee)
    [by_bot] = story(run)
    [by_account] = stream_list(aggregate_type="credential", aggregate_id=run.credential_id)
    assert isinstance(by_bot, BotTradeExecuted)
    trade = by_account.message()
    assert isinstance(trade, TradeExecuted)
    assert (by_bot.trade_id, by_bot.order_id, by_bot.run_id) == (fill.id, only_intent().id, run.id)
    assert (trade.trade_id, trade.volume, trade.price) == (fill.id, by_bot.volume, by_bot.price)
    assert by_bot.market_time == only_intent().candle_at


def test_a_fill_belongs_to_the_chain_that_started_the_bot(context: ExecutionContext) -> None:
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)
    started, *steps = stream_list(aggregate_type="bot", aggregate_id=run.bot_id)
    assert {(each.correlation_id, each.causation_id) for each in steps} == {(started.correlation_id, started.event_id)}


def test_a_candle_is_decided_once(exchange: FakeExchange, context: ExecutionContext) -> None:
    run = running_bot(context)
    outcomes = [tick_run(run_id=run.id, context=context) for _ in range(3)]
    assert outcomes == [TickOutcome.DECIDED, TickOutcome.NOTHING_NEW, TickOutcome.NOTHING_NEW]
    assert OrderIntent.objects.count() == len(exchange.placed) == 1


def test_a_candle_on_which_nothing_is_wanted_is_decided_too(context: ExecutionContext, exchange: FakeExchange) -> None:
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)
    add_candle(exchange, 23100)
    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED
    assert tick_run(run_id=run.id, context=context) == TickOutcome.NOTHING_NEW
    assert OrderIntent.objects.count() == 1


def test_it_sells_when_the_signal_turns(exchange: FakeExchange, context: ExecutionContext) -> None:
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)
    for price in (15000, 14000, 13000):
        add_candle(exchange, price)
        tick_run(run_id=run.id, context=context)
    assert list(OrderIntent.objects.order_by("planned_at", "id").values_list("side", "state")) == [
        ("buy", IntentState.FILLED),
        ("sell", IntentState.FILLED),
    ]
    position = Position.objects.get()
    assert position.base_volume == 0
    assert position.quote_spent > 0  # a loss, with fees
    assert LedgerEntry.objects.filter(account=LedgerAccount.POSITION).count() == 2


def test_a_market_that_began_again_is_decided_on(exchange: FakeExchange, context: ExecutionContext) -> None:
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)
    exchange.set_candles(exchange.candles["XBTUSD", 60][:20])
    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED


def test_a_bot_that_does_not_run_does_nothing(context: ExecutionContext) -> None:
    run = running_bot(context)
    BotRun.objects.update(state=RunState.STOPPED, stopped_at=NOW)
    assert tick_run(run_id=run.id, context=context) == TickOutcome.NOT_RUNNING
    assert OrderIntent.objects.count() == 0


def test_while_another_worker_is_at_the_bot_a_tick_returns_at_once(
    exchange: FakeExchange, context: ExecutionContext
) -> None:
    run = running_bot(context)
    assert lease_take(run_id=run.id, now=NOW) is not None
    assert tick_run(run_id=run.id, context=context) == TickOutcome.BUSY
    assert exchange.submitted == []


def test_a_tick_gives_the_lease_back(context: ExecutionContext) -> None:
    run = running_bot(context)
    tick_run(run_id=run.id, context=context)
    run.refresh_from_db()
    assert (run.lease_owner, run.lease_until) == ("", None)
    assert run.fence == 1


class TestHoldingBack:
    def test_a_rule_that_holds_a_trade_back_is_announced_with_code_and_sentence(
        self, context: ExecutionContext
    ) -> None:
        run = running_bot(context, quote_budget=Decimal("0.1"))
        assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED
        [skipped] = story(run)
        assert isinstance(skipped, BotTradeSkipped)
        assert (skipped.side, skipped.code) == ("buy", "below_minimum")
        assert OrderIntent.objects.count() == 0

    def test_the_same_reason_is_announced_once(self, exchange: FakeExchange, context: ExecutionContext) -> None:
        run = running_bot(context, quote_budget=Decimal("0.1"))
        for price in (23000, 23100, 23200):
            tick_run(run_id=run.id, context=context)
            add_candle(exchange, price)
        assert len(story(run)) == 1

    def test_another_reason_is_news(self, exchange: FakeExchange, context: ExecutionContext) -> None:
        run = running_bot(context, strategy="dca", parameters={"every_candles": 1, "quote_amount": "0.4"})
        tick_run(run_id=run.id, context=context)
        exchange.next_submits.append(INSUFFICIENT_FUNDS)
        BotRun.objects.update(config=run.config | {"parameters": {"every_candles": 1, "quote_amount": "50"}})
        add_candle(exchange, 23000)
        tick_run(run_id=run.id, context=context)
        assert [message.code for message in story(run) if isinstance(message, BotTradeSkipped)] == [
            "below_minimum",
            "insufficient_funds",
        ]

    def test_after_a_trade_the_same_reason_is_news_again(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        parameters = {"every_candles": 1, "quote_amount": "60"}
        run = running_bot(context, strategy="dca", parameters=parameters, quote_budget=Decimal(100))
        tick_run(run_id=run.id, context=context)
        for number in range(3):
            add_candle(exchange, 23000 + number)
            tick_run(run_id=run.id, context=context)
        assert [type(message) for message in story(run)] == [BotTradeExecuted, BotTradeSkipped]

    def test_a_bot_spends_no_more_than_its_budget(self, exchange: FakeExchange, context: ExecutionContext) -> None:
        parameters = {"every_candles": 1, "quote_amount": "30"}
        run = running_bot(context, strategy="dca", parameters=parameters, quote_budget=Decimal(100))
        for number in range(6):
            tick_run(run_id=run.id, context=context)
            add_candle(exchange, 23000 + number)
        assert OrderIntent.objects.count() == 3
        assert Position.objects.get().quote_spent <= 100


class TestRejections:
    def test_a_refused_order_frees_what_it_kept_back_and_pauses_entries(
        self, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        exchange.next_submits.append(INSUFFICIENT_FUNDS)
        run = running_bot(context)
        tick_run(run_id=run.id, context=context)

        assert only_intent().state == IntentState.REJECTED
        assert Position.objects.get().quote_reserved == 0
        add_candle(exchange, 23000)
        clock.sleep(59)
        tick_run(run_id=run.id, context=context)
        assert len(exchange.submitted) == 1
        add_candle(exchange, 23100)
        clock.sleep(2)
        tick_run(run_id=run.id, context=context)
        assert len(exchange.placed) == 1

    def test_the_user_reads_the_exchanges_refusal_in_plain_words(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        exchange.next_submits.append(INSUFFICIENT_FUNDS)
        run = running_bot(context)
        tick_run(run_id=run.id, context=context)
        [skipped] = story(run)
        assert isinstance(skipped, BotTradeSkipped)
        assert (skipped.code, skipped.message) == (INSUFFICIENT_FUNDS.code, INSUFFICIENT_FUNDS.message)


class TestTrouble:
    def test_a_failure_that_passes_is_nobodys_business(
        self, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        run = running_bot(context)
        exchange.fail_reads(ExchangeUnavailable("It does not answer."))
        assert tick_run(run_id=run.id, context=context) == TickOutcome.TROUBLE
        clock.sleep(5)
        assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED
        run.refresh_from_db()
        assert (run.trouble_since, run.trouble_code) == (None, "")
        assert not any(isinstance(message, BotError) for message in story(run))

    def test_a_failure_that_persists_is_announced_once_and_the_run_goes_on(
        self, exchange: FakeExchange, context: ExecutionContext, clock: SteppingClock
    ) -> None:
        run = running_bot(context)
        for _ in range(20):
            exchange.fail_reads(ExchangeUnavailable("It does not answer."))
            tick_run(run_id=run.id, context=context)
            clock.sleep(5)
        [error] = story(run)
        assert isinstance(error, BotError)
        assert (error.code, error.is_final) == ("exchange_unavailable", False)
        run.refresh_from_db()
        assert run.is_running

    def test_the_next_tick_waits_a_little(self, exchange: FakeExchange, context: ExecutionContext) -> None:
        run = running_bot(context)
        exchange.fail_reads(ExchangeUnavailable("It does not answer."))
        tick_run(run_id=run.id, context=context)
        run.refresh_from_db()
        assert run.next_tick_at == NOW + timedelta(seconds=5)

    def test_a_key_that_is_no_longer_valid_ends_the_run(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.fail_reads(KeyInvalid("The exchange does not know the key."))
        assert tick_run(run_id=run.id, context=context) == TickOutcome.FAILED
        error, stopped = story(run)
        assert isinstance(error, BotError)
        assert (error.code, error.is_final) == ("exchange_key_invalid", True)
        assert isinstance(stopped, BotStopped)
        assert (stopped.manner, stopped.open_orders) == ("error", ())
        run.refresh_from_db()
        assert run.state == RunState.ERROR

    def test_what_nobody_foresaw_is_loud_and_leaves_the_lease(
        self, exchange: FakeExchange, context: ExecutionContext
    ) -> None:
        run = running_bot(context)
        exchange.fail_reads(ZeroDivisionError("a bug"))
        with pytest.raises(ZeroDivisionError):
            tick_run(run_id=run.id, context=context)
        run.refresh_from_db()
        assert (run.trouble_code, run.lease_owner) == ("internal_error", "")


def test_a_falling_market_is_left_alone(context: ExecutionContext) -> None:
    run = running_bot(context_of(fake_exchange(FALLING)))
    assert tick_run(run_id=run.id, context=context_of(fake_exchange(FALLING))) == TickOutcome.DECIDED
    assert OrderIntent.objects.count() == 0


@pytest.mark.parametrize(("price", "is_bought"), [(3100, True), (15000, False)])
def test_a_rest_below_the_minimum_value_does_not_keep_a_bot_from_buying(price: int, is_bought: bool) -> None:
    """0.0001 BTC meets the minimum volume (0.00005); at 3 100 it is worth less than the 0.5 USD of a sale."""
    exchange = fake_exchange([price * (1 + Decimal(hour) / 1000) for hour in range(30)])
    context = context_of(exchange)
    run = running_bot(context)
    Position.objects.update(base_volume=Decimal("0.0001"))
    tick_run(run_id=run.id, context=context)
    assert OrderIntent.objects.filter(side="buy").exists() is is_bought
