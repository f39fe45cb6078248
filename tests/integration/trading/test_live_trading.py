"""The workers keep to the switch for live trading by themselves, whatever reached their queues."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.core.terms import Mode, Side
from apps.events.commands.registry import execute
from apps.events.models import ProcessHeartbeat
from apps.events.store.selectors import command_execution_get, stream_list
from apps.exchange.addresses import exchange_url
from apps.messages.base import Command
from apps.messages.bots import BotError, StopBot, TriggerTrade
from apps.messages.trading import BotTradeSkipped
from apps.risk.live_trading import DISABLED
from apps.trading import tasks  # registers what runs commands, as Celery does in a worker
from apps.trading.errors import OrderBarred
from apps.trading.models.ledger import Fill, Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.reconciler import Reconciler
from apps.trading.services.context import live
from apps.trading.services.orders.placement import order_place
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs import record
from apps.trading.services.runs.manual_trade import trade_trigger
from apps.trading.services.runs.stop import run_stop
from apps.trading.services.runs.tick import TickOutcome, tick_run
from apps.vault.selectors import OpenCredential
from tests.factories.fake_exchange import FakeExchange
from tests.factories.live import live_trading
from tests.factories.trading import (
    SteppingClock,
    add_candle,
    context_of,
    fake_exchange,
    only_intent,
    planned_order,
    running_bot,
    start_command,
)

pytestmark = pytest.mark.django_db

BUYS_EVERY_CANDLE = {"strategy": "dca", "parameters": {"quote_amount": "50"}}


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> FakeExchange:
    """Whatever a live bot's key opens, it is this."""
    exchange = fake_exchange()
    # A live bot buys on fresh candles only, and these are of a time of their own.
    monkeypatch.setattr(record, "_age_seconds", lambda *_, **__: Decimal(0))
    key = OpenCredential(uuid4(), uuid4(), Mode.LIVE, "key", "secret")
    monkeypatch.setattr(live, "credential_open", lambda **_: key)
    monkeypatch.setattr(live, "credential_refuse_unusable", lambda **_: None)
    monkeypatch.setattr(live, "exchange_of_credential", lambda *_, **__: exchange)
    return exchange


@pytest.fixture
def switch(settings: Settings, db: None) -> Callable[[bool], None]:
    """Turns live trading on or off for this worker."""

    def turn(is_on: bool) -> None:
        live_trading(settings, is_on)

    return turn


def ended(command: Command) -> tuple[str, int, str]:
    execution = command_execution_get(command_id=command.command_id)
    assert execution is not None
    return execution.state, execution.attempts, execution.reason


def told(run: BotRun, kind: type[Any]) -> list[Any]:
    messages = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)]
    return [message for message in messages if isinstance(message, kind)]


def asked_of(run: BotRun) -> dict[str, Any]:
    now = timezone.now()
    return {
        "command_id": uuid4(),
        "bot_id": run.bot_id,
        "user_id": run.user_id,
        "requested_at": now,
        "expires_at": now + timedelta(hours=1),
    }


def test_a_start_is_rejected_at_the_first_attempt_with_the_reason(
    exchange: FakeExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(live, "exchange_of_credential", opened.append)
    command = start_command(requested_at=timezone.now(), mode=Mode.LIVE)

    assert execute(command) == "failed: live_trading_disabled"

    state, attempt, reason = ended(command)
    assert (state, attempt) == ("failed", 1)
    assert DISABLED in reason
    assert BotRun.objects.count() == 0
    assert opened == []
    [error] = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=command.bot_id)]
    assert isinstance(error, BotError)
    assert (error.code, error.message, error.is_final) == ("live_trading_disabled", DISABLED, True)
    assert execute(command) == "already failed"


def test_a_trade_asked_of_a_running_live_bot_is_rejected(
    exchange: FakeExchange, switch: Callable[[bool], None]
) -> None:
    switch(True)
    run = running_bot(context_of(exchange), mode=Mode.LIVE)
    switch(False)
    command = TriggerTrade(**asked_of(run), side=Side.BUY, quote_amount=Decimal(50))

    assert execute(command) == "failed: live_trading_disabled"

    assert ended(command)[:2] == ("failed", 1)
    assert OrderIntent.objects.count() == len(exchange.placed) == 0
    assert BotRun.objects.get().state == RunState.RUNNING


def test_ticks_of_a_running_live_bot_place_nothing_and_say_so_once(
    exchange: FakeExchange, switch: Callable[[bool], None]
) -> None:
    context = context_of(exchange)
    switch(True)
    run = running_bot(context, mode=Mode.LIVE, **BUYS_EVERY_CANDLE)
    switch(False)
    outcomes = [tick_run(run_id=run.id, context=context)]
    for _ in range(3):
        add_candle(exchange, 30000)
        outcomes.append(tick_run(run_id=run.id, context=context))

    assert outcomes == [TickOutcome.DECIDED] * 4
    assert OrderIntent.objects.count() == len(exchange.placed) == 0
    assert [(skip.code, skip.message) for skip in told(run, BotTradeSkipped)] == [("live_trading_disabled", DISABLED)]
    run.refresh_from_db()
    assert run.state == RunState.RUNNING

    switch(True)
    add_candle(exchange, 30000)
    tick_run(run_id=run.id, context=context)
    assert len(exchange.placed) == 1


def test_a_live_bot_that_holds_still_sells_by_its_strategy_and_buys_nothing_after(
    exchange: FakeExchange, switch: Callable[[bool], None]
) -> None:
    context = context_of(exchange)
    switch(True)
    run = running_bot(context, mode=Mode.LIVE)
    tick_run(run_id=run.id, context=context)
    assert only_intent().side == "buy"
    switch(False)
    for _ in range(8):
        add_candle(exchange, 10000)
        tick_run(run_id=run.id, context=context)

    assert [request.side for request in exchange.submitted] == ["buy", "sell"]
    for _ in range(12):
        add_candle(exchange, 40000)
        tick_run(run_id=run.id, context=context)

    assert len(exchange.placed) == 2
    assert [(skip.side, skip.code) for skip in told(run, BotTradeSkipped)] == [("buy", "live_trading_disabled")]


def test_a_sale_may_still_be_asked_of_a_live_bot_that_holds(
    exchange: FakeExchange, switch: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(exchange, SteppingClock(timezone.now()))
    monkeypatch.setattr(tasks, "trade_trigger", partial(trade_trigger, context=context))
    switch(True)
    run = running_bot(context, mode=Mode.LIVE, **BUYS_EVERY_CANDLE)
    tick_run(run_id=run.id, context=context)
    switch(False)

    assert execute(TriggerTrade(**asked_of(run), side=Side.SELL)) == "done"

    assert Position.objects.get().base_volume == 0


def test_a_tick_still_books_what_became_of_an_order(exchange: FakeExchange, switch: Callable[[bool], None]) -> None:
    switch(True)
    clock = SteppingClock()
    planned = planned_order(exchange, clock, kind=OrderKind.REST, price=Decimal(20000), mode=Mode.LIVE)
    order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
    planned.lease.release()
    assert only_intent().state == IntentState.OPEN
    switch(False)
    exchange.fill(only_intent().txid)
    clock.sleep(60)

    tick_run(run_id=planned.run.id, context=context_of(exchange, clock))

    assert only_intent().state == IntentState.FILLED
    assert Fill.objects.count() == len(exchange.placed) == 1


def test_an_order_that_was_stored_is_not_sent(exchange: FakeExchange, switch: Callable[[bool], None]) -> None:
    switch(True)
    planned = planned_order(exchange, mode=Mode.LIVE)
    switch(False)

    with pytest.raises(OrderBarred, match="switched off"):
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)

    intent = only_intent()
    assert (intent.state, intent.state_code) == (IntentState.NOT_PLACED, "live_trading_disabled")
    assert len(exchange.placed) == 0


@pytest.mark.parametrize("manner", ["pause", "stop", "flatten"])
def test_a_running_live_bot_can_be_ended(
    exchange: FakeExchange, switch: Callable[[bool], None], manner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(exchange, SteppingClock(timezone.now()))
    monkeypatch.setattr(tasks, "run_stop", partial(run_stop, context=context))
    switch(True)
    run = running_bot(context, mode=Mode.LIVE, **BUYS_EVERY_CANDLE)
    tick_run(run_id=run.id, context=context)
    held = Position.objects.get().base_volume
    assert held > 0
    switch(False)
    command = StopBot(**asked_of(run), manner=manner)

    assert execute(command) == "done"

    run.refresh_from_db()
    assert run.state == RunState.STOPPED
    assert Position.objects.get().base_volume == (0 if manner == "flatten" else held)


def without_an_address(settings: Settings, exchange: FakeExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live trading off by the setting, and MUCKARD_KRAKEN_URL not set."""
    live_trading(settings, False)
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"kraken_url": None})
    monkeypatch.setattr(live, "exchange_of_credential", lambda *_, **__: exchange_url(Mode.LIVE) and exchange)


def reconciler_health() -> tuple[str, str]:
    reconciler = Reconciler(reconcile=lambda *_, **__: 0)
    try:
        reconciler.step()
    finally:
        reconciler.close()
    beat = ProcessHeartbeat.objects.get(name="reconciler")
    return beat.state, beat.detail


def test_what_cannot_be_cancelled_without_an_address_is_said_and_done_when_there_is_one(
    exchange: FakeExchange, switch: Callable[[bool], None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch(True)
    planned = planned_order(exchange, kind=OrderKind.REST, price=Decimal(20000), mode=Mode.LIVE)
    order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
    planned.lease.release()
    assert reconciler_health()[0] == "up"
    with monkeypatch.context() as patch:
        without_an_address(settings, exchange, patch)
        command = StopBot(**asked_of(planned.run))

        assert execute(command) == "done"

        execution = command_execution_get(command_id=command.command_id)
        assert execution is not None
        assert execution.result is not None
        assert (execution.result["outcome"], execution.result["is_final"]) == ("incomplete", False)
        assert execution.result["code"] == "live_exchange_not_configured"
        assert "MUCKARD_KRAKEN_URL" in execution.result["message"]
        assert only_intent().cancel_requested_at is not None
        state, detail = reconciler_health()
        assert state == "down"
        assert "0 live bots at work and 1 live orders" in detail

    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update={"kraken_url": "https://api.kraken.com"})
    orders_reconcile(context=context_of(exchange, SteppingClock(timezone.now() + timedelta(hours=1))))
    assert only_intent().state == IntentState.CANCELED
    execution.refresh_from_db()
    assert execution.result["outcome"] == "complete"
    assert reconciler_health()[0] == "up"


def test_a_flatten_without_an_address_says_what_was_not_sold(
    exchange: FakeExchange, switch: Callable[[bool], None], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(exchange, SteppingClock(timezone.now()))
    switch(True)
    run = running_bot(context, mode=Mode.LIVE, **BUYS_EVERY_CANDLE)
    tick_run(run_id=run.id, context=context)
    held = Position.objects.get().base_volume
    without_an_address(settings, exchange, monkeypatch)
    command = StopBot(**asked_of(run), manner="flatten")

    assert execute(command) == "done"

    execution = command_execution_get(command_id=command.command_id)
    assert execution is not None
    assert execution.result is not None
    assert (execution.result["outcome"], execution.result["code"]) == ("incomplete", "live_exchange_not_configured")
    assert Decimal(execution.result["left_volume"]) == held > 0


def test_a_stop_takes_a_live_bots_orders_off_the_book(exchange: FakeExchange, switch: Callable[[bool], None]) -> None:
    switch(True)
    planned = planned_order(exchange, kind=OrderKind.REST, price=Decimal(20000), mode=Mode.LIVE)
    order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
    planned.lease.release()
    switch(False)

    assert execute(StopBot(**asked_of(planned.run))) == "done"

    assert only_intent().state == IntentState.CANCELED
