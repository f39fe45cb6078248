"""Caps on live trading hold in the worker: at the start of a run, and before each purchase."""

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.core.identity.assurance import Assurance
from apps.core.terms import Mode, Side
from apps.events.commands.registry import execute
from apps.events.store.selectors import command_execution_get, stream_list
from apps.messages.bots import TriggerTrade
from apps.messages.trading import BotTradeLimited
from apps.risk.caps import CapExceeded
from apps.risk.models import Cap, LiveBeginning
from apps.risk.services.caps import caps_change, live_beginning_record
from apps.trading import tasks
from apps.trading.errors import OrderBarred
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.orders.placement import Placement, order_place
from apps.trading.services.runs import decisions
from apps.trading.services.runs.manual_trade import trade_trigger
from apps.trading.services.runs.tick import TickOutcome, tick_run
from service_common.settings.factory import LiveCaps
from tests.factories.fake_exchange import FakeExchange
from tests.factories.live import live_trading
from tests.factories.trading import (
    NOW,
    PAIR,
    SteppingClock,
    add_candle,
    context_of,
    mark_or_refusal,
    mark_sending,
    planned_order,
    running_bot,
)
from tests.support.transactions import one_after_the_other

pytestmark = pytest.mark.django_db

BUYS_EVERY_CANDLE = {"strategy": "dca", "parameters": {"quote_amount": "50"}}


@pytest.fixture(autouse=True)
def _on(settings: Settings) -> None:
    live_trading(settings, True)
    caps(settings, order=1000, position=1000, budget=1000)


def caps(settings: Settings, order: int, position: int, budget: int, first_days: str = "1") -> None:
    settings.LIVE_CAPS = LiveCaps(Decimal(order), Decimal(position), Decimal(budget), Decimal(first_days))


def skips(run: BotRun) -> list[BotTradeLimited]:
    messages = [event.message() for event in stream_list(aggregate_type="bot", aggregate_id=run.bot_id)]
    return [message for message in messages if isinstance(message, BotTradeLimited)]


def after_candles(exchange: FakeExchange) -> datetime:
    """A moment after the last candle closed: a live bot buys on fresh candles only."""
    return exchange.candles[PAIR, 60][-1].opened_at + timedelta(minutes=61)


def next_candle(exchange: FakeExchange, context: ExecutionContext, close: int) -> None:
    add_candle(exchange, close)
    context.sleep(3600)


def live_bot(exchange: FakeExchange, **config: Any) -> tuple[BotRun, ExecutionContext]:
    context = context_of(exchange, SteppingClock(after_candles(exchange)))
    return running_bot(context, mode=Mode.LIVE, **(BUYS_EVERY_CANDLE | config)), context


def test_the_first_live_start_is_recorded_once(exchange: FakeExchange) -> None:
    run, _ = live_bot(exchange)

    assert LiveBeginning.objects.get(user_id=run.user_id).began_at == run.started_at
    running_bot(context_of(exchange), **BUYS_EVERY_CANDLE)
    assert LiveBeginning.objects.count() == 1


def test_a_run_above_the_cap_does_not_begin(exchange: FakeExchange, settings: Settings) -> None:
    caps(settings, order=1000, position=1000, budget=999)

    with pytest.raises(CapExceeded):
        live_bot(exchange)
    assert BotRun.objects.count() == LiveBeginning.objects.count() == 0


@pytest.mark.parametrize(
    ("limits", "code", "figure"),
    [
        ({"order": 49, "position": 1000, "budget": 1000}, "cap_order", "49 USD"),
        ({"order": 1000, "position": 40, "budget": 1000}, "cap_position", "40 USD"),
        ({"order": 1000, "position": 1000, "budget": 900}, "cap_budget", "900 USD"),
    ],
)
def test_a_purchase_above_a_cap_is_skipped_with_both_figures(
    exchange: FakeExchange, settings: Settings, limits: dict[str, int], code: str, figure: str
) -> None:
    run, context = live_bot(exchange)
    caps(settings, limits["order"], limits["position"], limits["budget"])

    for _ in range(3):
        tick_run(run_id=run.id, context=context)
        next_candle(exchange, context, 22900)

    assert list(exchange.placed) == []
    (skip,) = skips(run)
    assert (skip.side, skip.code) == ("buy", code)
    assert figure in skip.message
    assert ("50" if code != "cap_budget" else "1000") in skip.message or "49." in skip.message


def test_a_position_grows_up_to_the_cap_and_sales_are_not_capped(exchange: FakeExchange, settings: Settings) -> None:
    run, context = live_bot(exchange, strategy="sma_cross", parameters={"fast": 3, "slow": 8})
    tick_run(run_id=run.id, context=context)
    assert len(exchange.placed) == 1
    caps(settings, order=1, position=1, budget=1)
    for _ in range(8):
        next_candle(exchange, context, 20000)
        tick_run(run_id=run.id, context=context)

    assert len(exchange.placed) == 2
    assert [request.side for request in exchange.submitted] == ["buy", "sell"]


def test_in_the_first_seven_days_a_part_holds(exchange: FakeExchange, settings: Settings) -> None:
    run, context = live_bot(exchange, quote_budget=Decimal(100))
    caps(settings, order=400, position=1000, budget=1000, first_days="0.1")
    tick_run(run_id=run.id, context=context)
    assert [skip.code for skip in skips(run)] == ["cap_order"]
    assert "first seven days" in skips(run)[0].message

    LiveBeginning.objects.update(began_at=run.started_at - timedelta(days=8))
    next_candle(exchange, context, 22900)
    tick_run(run_id=run.id, context=context)
    assert len(exchange.placed) == 1


def test_a_cap_of_one_bot_binds_that_bot_alone(exchange: FakeExchange) -> None:
    run, context = live_bot(exchange)
    live_beginning_record(user_id=run.user_id, now=NOW)
    Cap.objects.create(
        user_id=run.user_id,
        bot_id=uuid4(),
        asset="USD",
        largest_order=1,
        largest_position=1,
        largest_budget=1,
        changed_at=NOW,
    )
    tick_run(run_id=run.id, context=context)
    assert len(exchange.placed) == 1


def test_paper_has_no_caps(exchange: FakeExchange, settings: Settings) -> None:
    caps(settings, order=0, position=0, budget=0)
    context = context_of(exchange)
    run = running_bot(context, **BUYS_EVERY_CANDLE)
    tick_run(run_id=run.id, context=context)

    assert (len(exchange.placed), LiveBeginning.objects.count()) == (1, 0)


def lower(run: BotRun, bot_id: UUID | None = None, **changes: int) -> None:
    caps_change(
        user_id=run.user_id,
        bot_id=bot_id,
        asset="USD",
        changes={name: Decimal(limit) for name, limit in changes.items()},
        assurance=Assurance(has_verified_email=False, has_mfa=False, stepped_up_at=None),
        now=NOW,
    )


CAPS = ("largest_order", "cap_order"), ("largest_position", "cap_position"), ("largest_budget", "cap_budget")


@pytest.mark.parametrize("of_bot", [False, True])
@pytest.mark.parametrize(("cap", "code"), CAPS)
def test_a_cap_lowered_between_planning_and_sending_refuses_the_order(
    exchange: FakeExchange, monkeypatch: pytest.MonkeyPatch, cap: str, code: str, of_bot: bool
) -> None:
    run, context = live_bot(exchange)

    def place(**asked: Any) -> Placement:
        lower(run, run.bot_id if of_bot else None, **{cap: 20})
        return order_place(**asked)

    monkeypatch.setattr(decisions, "order_place", place)

    assert tick_run(run_id=run.id, context=context) == TickOutcome.DECIDED

    assert exchange.submitted == []
    intent = OrderIntent.objects.get()
    assert (intent.state, intent.state_code, intent.sent_at) == (IntentState.NOT_PLACED, code, None)
    (skip,) = skips(run)
    assert (skip.code, skip.limit) == (code, Decimal(20))
    assert Position.objects.get().quote_reserved == 0


def test_a_trade_that_a_lowered_cap_refuses_names_it_in_its_receipt(
    exchange: FakeExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, context = live_bot(exchange)
    monkeypatch.setattr(tasks, "trade_trigger", partial(trade_trigger, context=context))

    def place(**asked: Any) -> Placement:
        lower(run, largest_order=20)
        return order_place(**asked)

    monkeypatch.setattr(decisions, "order_place", place)
    asked_at = timezone.now()
    command = TriggerTrade(
        command_id=uuid4(),
        bot_id=run.bot_id,
        user_id=run.user_id,
        side=Side.BUY,
        quote_amount=Decimal(50),
        requested_at=asked_at,
        expires_at=asked_at + timedelta(hours=1),
    )

    assert execute(command) == "failed: trade_refused"

    execution = command_execution_get(command_id=command.command_id)
    assert execution is not None
    assert execution.result is not None
    assert execution.result["outcome"] == "not_sent"
    assert "the cap is 20 USD" in execution.result["message"]
    assert [each["code"] for each in execution.result["orders"]] == ["cap_order"]


@pytest.mark.django_db(transaction=True)
def test_a_mark_waits_for_a_cap_that_is_being_lowered_and_then_refuses(exchange: FakeExchange) -> None:
    planned = planned_order(exchange, SteppingClock(after_candles(exchange)), mode=Mode.LIVE)

    barred = one_after_the_other(lambda: lower(planned.run, largest_order=20), partial(mark_or_refusal, planned))

    assert isinstance(barred, OrderBarred)
    assert barred.rejection.code == "cap_order"


@pytest.mark.django_db(transaction=True)
def test_a_cap_is_lowered_only_when_the_mark_under_way_has_committed(exchange: FakeExchange) -> None:
    planned = planned_order(exchange, SteppingClock(after_candles(exchange)), mode=Mode.LIVE)

    def is_not_lowered() -> None:
        assert not Cap.objects.exists()

    one_after_the_other(
        partial(mark_sending, planned), lambda: lower(planned.run, largest_order=20), meanwhile=is_not_lowered
    )

    assert OrderIntent.objects.get().state == IntentState.SENDING


def test_the_order_itself_does_not_count_twice_against_the_position_cap(
    exchange: FakeExchange, settings: Settings
) -> None:
    planned = planned_order(exchange, SteppingClock(after_candles(exchange)), mode=Mode.LIVE)
    worth = planned.intent.price * planned.intent.volume
    caps(settings, order=1000, position=int(worth), budget=1000)

    intent = mark_sending(planned)
    assert intent.state == IntentState.SENDING
