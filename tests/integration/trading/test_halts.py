"""Halts and stops bar orders in the transaction that marks them as being sent, and are told once."""

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from apps.events.store.selectors import stream_list
from apps.messages.trading import BotTradeSkipped
from apps.risk.models.halts import PLATFORM_ID, HaltLevel, HaltScope
from apps.risk.selectors import halts_covering
from apps.risk.services.halts import halt_lift_by_id
from apps.risk.services.switches import bot_switch_off, stop_request, stop_request_all, user_hold
from apps.trading.errors import OrderBarred
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.orders.placement import Placement, order_place
from apps.trading.services.runs import decisions
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.factories.risk import halted
from tests.factories.trading import (
    FALLING,
    NOW,
    Planned,
    SteppingClock,
    add_candle,
    context_of,
    fake_exchange,
    mark_or_refusal,
    mark_sending,
    planned_order,
    running_bot,
)
from tests.support.transactions import one_after_the_other


def subject_of(run: BotRun, scope: HaltScope) -> UUID:
    return {
        HaltScope.BOT: run.bot_id,
        HaltScope.KEY: run.credential_id,
        HaltScope.USER: run.user_id,
        HaltScope.PLATFORM: PLATFORM_ID,
    }[scope]


def skips(run: BotRun) -> list[str]:
    stream = stream_list(aggregate_type="bot", aggregate_id=run.bot_id)
    return [
        BotTradeSkipped.parse(each.payload).code
        for each in stream
        if each.event_type == BotTradeSkipped.declaration.name
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("level", HaltLevel)
@pytest.mark.parametrize("scope", HaltScope)
def test_no_entry_is_sent_under_a_halt(scope: HaltScope, level: HaltLevel) -> None:
    exchange = fake_exchange()
    planned = planned_order(exchange)
    halted(scope, subject_of(planned.run, scope), level=level)

    with pytest.raises(OrderBarred) as refusal:
        order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)

    assert refusal.value.details["rule"] == "halted"
    assert exchange.placed == []
    intent = OrderIntent.objects.get()
    assert (intent.state, intent.state_code, intent.sent_at) == (IntentState.NOT_PLACED, "halted", None)
    assert Position.objects.get().quote_reserved == 0


@pytest.mark.django_db
def test_a_halt_set_between_planning_and_sending_is_told_as_a_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = fake_exchange()
    context = context_of(exchange)
    run = running_bot(context)

    def place(**asked: Any) -> Placement:
        halted(HaltScope.KEY, run.credential_id)
        return order_place(**asked)

    monkeypatch.setattr(decisions, "order_place", place)

    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED

    assert skips(run) == ["halted"]
    assert exchange.placed == []


@pytest.mark.django_db
@pytest.mark.parametrize(("level", "orders"), [(HaltLevel.REDUCING, 1), (HaltLevel.HALTED, 0)])
@pytest.mark.parametrize("scope", HaltScope)
def test_exits_go_while_reducing_and_not_while_halted(scope: HaltScope, level: HaltLevel, orders: int) -> None:
    exchange, clock = fake_exchange(), SteppingClock()
    context = context_of(exchange, clock)
    run = running_bot(context)
    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED
    bought = len(exchange.placed)
    for close in FALLING[10:]:
        add_candle(exchange, close)
    halted(scope, subject_of(run, scope), level=level)

    tick_run(run_id=run.id, context=context)

    assert len(exchange.placed) - bought == orders
    assert skips(run) == ([] if orders else ["halted"])


@pytest.mark.django_db
def test_a_halted_bot_tells_it_once_and_goes_on_when_the_halt_is_lifted() -> None:
    exchange, clock = fake_exchange(), SteppingClock()
    context = context_of(exchange, clock)
    run = running_bot(context)
    halt = halted(HaltScope.BOT, run.bot_id)
    for close in (23_000, 23_100):
        tick_run(run_id=run.id, context=context)
        add_candle(exchange, close)

    assert skips(run) == ["halted"]
    assert exchange.placed == []

    halt_lift_by_id(halt_id=halt.id, lifted_by="staff", because="all is well", now=NOW)
    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED
    assert len(exchange.placed) == 1


@pytest.mark.django_db
def test_a_requested_stop_bars_the_run_before_any_worker_knows_of_it() -> None:
    exchange = fake_exchange()
    planned = planned_order(exchange)
    stop_request(bot_id=planned.run.bot_id, requested_at=NOW)

    with pytest.raises(OrderBarred, match="told to stop"):
        mark_sending(planned)
    assert BotRun.objects.get().state == RunState.RUNNING


@pytest.mark.django_db
def test_a_stop_does_not_bar_a_run_that_was_requested_after_it() -> None:
    exchange = fake_exchange()
    planned = planned_order(exchange)
    stop_request(bot_id=planned.run.bot_id, requested_at=NOW - timedelta(microseconds=1))

    intent = mark_sending(planned)
    assert intent.state == IntentState.SENDING


@pytest.mark.django_db
def test_a_deleted_bot_sends_nothing() -> None:
    planned = planned_order(fake_exchange())
    bot_switch_off(bot_id=planned.run.bot_id, deleted_at=NOW)

    with pytest.raises(OrderBarred, match="deleted"):
        mark_sending(planned)


@pytest.mark.django_db
def test_an_earlier_stop_does_not_take_back_a_later_one() -> None:
    planned = planned_order(fake_exchange())
    stop_request(bot_id=planned.run.bot_id, requested_at=NOW)
    stop_request_all(bot_ids=[planned.run.bot_id], requested_at=NOW - timedelta(hours=1))

    with pytest.raises(OrderBarred):
        mark_sending(planned)


def bar(planned: Planned, how: str) -> None:
    """Bars the planned order's run, in a transaction that is open when this returns."""
    run = planned.run
    if how == "stop":
        stop_request(bot_id=run.bot_id, requested_at=NOW)
    elif how == "stop_all":
        user_hold(run.user_id)
        stop_request_all(bot_ids=[run.bot_id], requested_at=NOW)
    else:
        halted(HaltScope(how), subject_of(run, HaltScope(how)), user_id=None if how == "platform" else run.user_id)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["stop", "stop_all", *HaltScope.values])
def test_a_mark_waits_for_a_bar_under_way_and_then_refuses(how: str) -> None:
    planned = planned_order(fake_exchange())

    barred = one_after_the_other(lambda: bar(planned, how), partial(mark_or_refusal, planned))

    assert isinstance(barred, OrderBarred)
    assert OrderIntent.objects.get().state == IntentState.PLANNED


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["stop", "stop_all", *HaltScope.values])
def test_a_bar_waits_for_the_mark_under_way_so_that_nothing_is_marked_after_it(how: str) -> None:
    planned = planned_order(fake_exchange())

    def set_it() -> None:
        with transaction.atomic():
            bar(planned, how)

    def no_halt_is_seen() -> None:
        seen = halts_covering(
            bot_id=planned.run.bot_id, credential_id=planned.run.credential_id, user_id=planned.run.user_id
        )
        assert not seen.exists()

    one_after_the_other(partial(mark_sending, planned), set_it, meanwhile=no_halt_is_seen)

    assert OrderIntent.objects.get().state == IntentState.SENDING
