"""Limits of a bot's orders, from its definition to the event that tells of a trade that was held back."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.messages.bots import RiskLimits
from apps.messages.trading import BotTradeLimited, BotTradeSkipped
from apps.trading.errors import TradeRefused
from apps.trading.models.equity import ProfitMark
from apps.trading.models.ledger import Position
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.runs.manual_trade import trade_trigger
from apps.trading.services.runs.record import profit_mark
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import (
    NOW,
    SteppingClock,
    add_candle,
    running_bot,
    trigger_command,
)
from tests.integration.trading.test_ticks import story

pytestmark = pytest.mark.django_db

EVERY_CANDLE = {"strategy": "dca", "parameters": {"every_candles": 1, "quote_amount": "50"}}


def limited(run: BotRun, **limits: Any) -> BotRun:
    """The run with limits of its own."""
    risk = RiskLimits(**limits).model_dump(mode="json")
    BotRun.objects.filter(id=run.id).update(config=run.config | {"risk": risk})
    return BotRun.objects.get(id=run.id)


def test_a_price_ten_times_the_last_close_is_not_bought_and_told_with_both_figures(
    exchange: FakeExchange, context: ExecutionContext
) -> None:
    run = running_bot(context)
    exchange.set_price(Decimal(229000))
    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED
    [skipped] = story(run)
    assert isinstance(skipped, BotTradeLimited)
    assert (skipped.code, skipped.limit, skipped.actual, skipped.unit) == (
        "price_band",
        Decimal("0.1"),
        Decimal(9),
        "fraction",
    )
    assert exchange.submitted == []


def test_a_market_without_a_price_is_told_and_does_not_fail(exchange: FakeExchange, context: ExecutionContext) -> None:
    run = running_bot(context)
    exchange.on("ticker", after=lambda ticker: replace(ticker, ask=Decimal(0)))
    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED
    [skipped] = story(run)
    assert isinstance(skipped, BotTradeSkipped)
    assert skipped.code == "no_price"


def test_a_run_that_was_started_before_there_were_limits_has_the_default_ones(context: ExecutionContext) -> None:
    run = running_bot(context)
    assert "risk" not in run.config
    assert run.definition.risk == RiskLimits()


def test_a_bot_makes_so_many_purchases_a_minute_and_no_more(
    exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
) -> None:
    run = limited(running_bot(context, **EVERY_CANDLE), orders_per_minute=2)
    for number in range(4):
        tick_run(run_id=run.id, context=context)
        add_candle(exchange, 23000 + number)
    assert OrderIntent.objects.count() == 2
    clock.sleep(61)
    tick_run(run_id=run.id, context=context)
    assert OrderIntent.objects.count() == 3


def test_after_a_loss_in_a_day_nothing_is_bought_until_the_next(
    exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
) -> None:
    run = limited(running_bot(context, **EVERY_CANDLE), daily_loss_fraction="0.004")
    tick_run(run_id=run.id, context=context)
    add_candle(exchange, 20800)  # of 50 that were spent about 5 are lost; 4 are allowed
    tick_run(run_id=run.id, context=context)
    assert OrderIntent.objects.count() == 1
    skipped = story(run)[-1]
    assert isinstance(skipped, BotTradeLimited)
    assert (skipped.code, skipped.limit) == ("daily_loss", Decimal(4))
    assert skipped.actual > 4

    clock.now = NOW + timedelta(days=1)
    add_candle(exchange, 20800)
    tick_run(run_id=run.id, context=context)
    assert OrderIntent.objects.count() == 2


def test_a_loss_since_the_highest_profit_holds_back_on_any_day(
    exchange: FakeExchange, clock: SteppingClock, context: ExecutionContext
) -> None:
    run = limited(running_bot(context, **EVERY_CANDLE), drawdown_fraction="0.004")
    tick_run(run_id=run.id, context=context)
    for _ in range(3):
        clock.sleep(24 * 3600)
        add_candle(exchange, 20800)
        tick_run(run_id=run.id, context=context)
    assert OrderIntent.objects.count() == 1


def test_losses_do_not_hold_a_sale_back(exchange: FakeExchange, context: ExecutionContext) -> None:
    run = limited(
        running_bot(context),
        daily_loss_fraction="0.0001",
        drawdown_fraction="0.0001",
        largest_order_quote=1000,
        orders_per_minute=1,
    )
    tick_run(run_id=run.id, context=context)
    add_candle(exchange, 15000)
    tick_run(run_id=run.id, context=context)
    assert Position.objects.get().base_volume == 0


def test_a_trade_that_is_asked_for_is_refused_with_the_rule(context: ExecutionContext) -> None:
    run = limited(running_bot(context), largest_order_quote=20)
    with pytest.raises(TradeRefused, match="The purchase would cost 50; up to 20 is allowed") as caught:
        trade_trigger(command=trigger_command(run, side="buy", quote_amount=Decimal(50)), context=context)
    assert caught.value.details == {"rule": "largest_order", "limit": "20", "actual": "50", "unit": "quote"}


def test_marks_move_up_with_the_profit_and_to_each_new_day(context: ExecutionContext) -> None:
    run = running_bot(context)
    marks = [
        profit_mark(run, profit=Decimal(profit), now=NOW + timedelta(hours=hours))
        for profit, hours in [(-5, 0), (7, 1), (3, 2), (2, 24), (9, -24)]
    ]
    assert [(mark.day_profit, mark.peak_profit) for mark in marks] == [(-5, 0), (-5, 7), (-5, 7), (2, 7), (2, 9)]
    assert ProfitMark.objects.count() == 1
