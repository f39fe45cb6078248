"""Every operation runs concurrently with itself and with its enemies. Real threads, real transactions."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from apps.events.commands.delivery import CommandDropped
from apps.trading.errors import TradeRefused
from apps.trading.models.ledger import Fill, LedgerAccount, LedgerEntry, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.runs.manual_trade import trade_trigger
from apps.trading.services.runs.schedule import runs_take_due
from apps.trading.services.runs.start import run_start
from apps.trading.services.runs.stop import run_stop
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import (
    NOW,
    RISING,
    UncachedMarket,
    add_candle,
    delivery_of,
    fake_exchange,
    running_bot,
    start_command,
    stop_command,
    trigger_command,
)

pytestmark = pytest.mark.django_db(transaction=True)


SECONDS_OF_A_PLACEMENT = 0.2


@pytest.fixture
def exchange() -> FakeExchange:
    """Takes a moment over every placement, so that others come in between."""
    exchange = fake_exchange(RISING)
    exchange.on("submit", before=lambda order: time.sleep(SECONDS_OF_A_PLACEMENT))
    return exchange


@pytest.fixture
def context(exchange: FakeExchange) -> ExecutionContext:
    return ExecutionContext(
        open_exchange=lambda run: exchange, open_market=lambda mode, clock: UncachedMarket(exchange, clock)
    )


def at_once(*calls: Callable[[], object]) -> list[Any]:
    """The results of calls that start together, each in a thread of its own; exceptions are results too."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_ticks_at_once_are_one_order(exchange: FakeExchange, context: ExecutionContext) -> None:
    run = running_bot(context)
    outcomes = at_once(*[lambda: tick_run(run_id=run.id, context=context)] * 4)
    assert sorted(outcomes) == [TickOutcome.BUSY] * 3 + [TickOutcome.DECIDED]
    assert OrderIntent.objects.count() == len(exchange.placed) == Fill.objects.count() == 1


def test_a_command_that_is_run_twice_at_once_is_one_order(exchange: FakeExchange, context: ExecutionContext) -> None:
    run = running_bot(context)
    command = trigger_command(run, side="buy", quote_amount=Decimal(100))
    results = at_once(*[lambda: trade_trigger(command=command, context=context)] * 3)
    assert results == [None, None, None]
    assert OrderIntent.objects.count() == len(exchange.placed) == 1


def test_a_tick_and_a_command_at_once_do_not_spend_the_budget_twice(
    exchange: FakeExchange, context: ExecutionContext
) -> None:
    run = running_bot(context, quote_budget=Decimal(100))
    command = trigger_command(run, side="buy")
    at_once(
        lambda: trade_trigger(command=command, context=context),
        lambda: tick_run(run_id=run.id, context=context),
    )
    assert len(exchange.placed) == 1
    assert Position.objects.get().quote_spent <= 100


def test_two_starts_at_once_are_one_run(context: ExecutionContext) -> None:
    bot_id = uuid4()
    commands = [start_command(bot_id=bot_id) for _ in range(3)]

    def start(number: int) -> BotRun:
        command = commands[number]
        return run_start(command=command, delivery=delivery_of(command), context=context)

    results = at_once(*(lambda number=number: start(number) for number in range(3)))
    assert sorted(type(result).__name__ for result in results) == ["BotRun", "CommandDropped", "CommandDropped"]
    assert BotRun.objects.filter(state=RunState.RUNNING).count() == 1
    assert isinstance(next(result for result in results if not isinstance(result, BotRun)), CommandDropped)


def test_a_stop_beside_ticks_is_the_last_word(exchange: FakeExchange, context: ExecutionContext) -> None:
    run = running_bot(context, strategy="dca", parameters={"every_candles": 1, "quote_amount": "10"})
    command = stop_command(run, requested_at=NOW + timedelta(minutes=1))

    def tick_often() -> list[TickOutcome]:
        outcomes = []
        for price in range(23000, 23008):
            outcomes.append(tick_run(run_id=run.id, context=context))
            add_candle(exchange, price)
        return outcomes

    def stop() -> int:
        threading.Event().wait(0.5)
        run_stop(command=command, delivery=delivery_of(command), context=context)
        return len(exchange.submitted)

    _, submitted_at_stop = at_once(tick_often, stop)
    assert len(exchange.submitted) == submitted_at_stop
    assert BotRun.objects.get().state == RunState.STOPPED
    assert set(OrderIntent.objects.values_list("state", flat=True)) <= {IntentState.FILLED, IntentState.NOT_PLACED}
    assert Fill.objects.count() == len(exchange.placed) > 0


def test_bots_on_one_account_book_at_once_without_deadlock(exchange: FakeExchange, context: ExecutionContext) -> None:
    exchange.off("submit")
    credential_id = uuid4()
    runs = [
        running_bot(
            context,
            credential_id=credential_id,
            strategy="dca",
            parameters={"every_candles": 1, "quote_amount": "10"},
        )
        for _ in range(4)
    ]

    def tick_often(run: BotRun) -> list[TickOutcome]:
        outcomes = []
        for hour in range(10):
            outcomes.append(tick_run(run_id=run.id, context=context))
            with exchange._lock:
                exchange.set_candles(exchange.candles["XBTUSD", 60][: 20 + hour])
        return outcomes

    results = at_once(*(lambda run=run: tick_often(run) for run in runs))
    assert not any(isinstance(result, Exception) for result in results), results
    assert Fill.objects.count() == len(exchange.placed) > 4
    for position in Position.objects.all():
        booked = LedgerEntry.objects.filter(bot_id=position.bot_id, account=LedgerAccount.POSITION)
        assert position.base_volume == sum(entry.amount for entry in booked)


def test_two_schedulers_take_each_due_run_once(context: ExecutionContext) -> None:
    for _ in range(10):
        running_bot(context)
    due_at = NOW + timedelta(days=400)
    taken = at_once(*[lambda: runs_take_due(now=due_at, tick_seconds=1.0)] * 3)
    runs = [due.run_id for part in taken for due in part]
    assert len(runs) == len(set(runs)) == 10


def test_a_refused_command_beside_a_tick_is_refused_for_its_own_reason(
    exchange: FakeExchange, context: ExecutionContext
) -> None:
    run = running_bot(context)
    command = trigger_command(run, side="sell")
    results = at_once(
        lambda: trade_trigger(command=command, context=context),
        lambda: trade_trigger(command=trigger_command(run, side="sell"), context=context),
    )
    assert [type(result) for result in results] == [TradeRefused, TradeRefused]
    assert exchange.submitted == []
