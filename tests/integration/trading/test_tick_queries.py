"""What a tick and a trade cost: upper bounds of queries and calls, so that they do not creep up."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.models.series import CandleSeries
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.runs.manual_trade import trade_trigger
from apps.trading.services.runs.tick import TickOutcome, tick_run
from apps.vault.models import Credential
from tests.factories.exchange import use_fake_exchange
from tests.factories.fake_exchange import FakeExchange
from tests.factories.trading import FALLING, add_candle, candles, context_of, running_bot, trigger_command
from tests.factories.vault import stored_credential

pytestmark = pytest.mark.django_db

# The history, the lease with the run, the key's state, the situation, the end.
MOST_OF_AN_IDLE_DECISION = 5


# From the command to the commit that marks its order as being sent, transactions' beginnings and ends included.
MOST_BEFORE_AN_ORDER = 42


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch, market_of_its_own: None) -> FakeExchange:
    """A falling market: a crossover strategy without a position has nothing to do."""
    fake = FakeExchange()
    fake.set_candles(candles(FALLING))
    return use_fake_exchange(monkeypatch, fake)


@pytest.fixture
def run(exchange: FakeExchange) -> BotRun:
    """A run of a stored key that has decided on the last candle, in a process that has ticked before."""
    user_id = uuid4()
    credential = stored_credential(user_id=user_id)
    run = running_bot(replace(context_of(exchange), clock=timezone.now), credential_id=credential.id)
    BotRun.objects.filter(id=run.id).update(user_id=user_id)
    assert tick_run(run_id=run.id) == TickOutcome.DECIDED
    return run


def tick(run: BotRun) -> tuple[TickOutcome, list[str]]:
    with CaptureQueriesContext(connection) as caught:
        outcome = tick_run(run_id=run.id)
    return outcome, [query["sql"] for query in caught.captured_queries]


def watched(run: BotRun, exchange: FakeExchange, *, seen_at: datetime, late: timedelta = timedelta(0)) -> None:
    """What the watcher stores that saw the last candle close then, and whose next look is `late`."""
    series = {"mode": run.mode, "pair": run.pair, "interval_minutes": run.interval_minutes}
    last = exchange.candles["XBTUSD", 60][-1].opened_at
    CandleSeries.objects.create(**series, last_candle_at=last, seen_at=seen_at, next_look_at=in_a_while() - late)


def test_an_idle_decision_makes_few_queries_and_opens_no_key(run: BotRun, exchange: FakeExchange) -> None:
    add_candle(exchange, FALLING[-1] - 100)
    candle_at = exchange.candles["XBTUSD", 60][-1].opened_at
    watched(run, exchange, seen_at=timezone.now())
    outcome, queries = tick(run)
    assert outcome == TickOutcome.DECIDED
    assert len(queries) <= MOST_OF_AN_IDLE_DECISION, queries
    assert not any("ciphertext" in query for query in queries)
    decided = BotRun.objects.get(id=run.id)
    assert decided.decided_candle_at == candle_at
    assert (decided.is_idle, decided.lease_owner, decided.lease_until) == (True, "", None)
    assert not OrderIntent.objects.exists()


def test_a_tick_without_a_new_candle_makes_few_queries(run: BotRun) -> None:
    outcome, queries = tick(run)
    assert outcome == TickOutcome.NOTHING_NEW
    assert len(queries) <= MOST_OF_AN_IDLE_DECISION, queries


@pytest.mark.parametrize("state", [Credential.State.SUSPENDED, Credential.State.DISCONNECTED])
def test_a_tick_that_needs_no_key_ends_the_run_of_one_that_cannot_be_used(run: BotRun, state: str) -> None:
    changes: dict[str, Any] = {"state": state}
    if state == Credential.State.DISCONNECTED:
        changes |= {"ciphertext": None, "nonce": None, "wrapped_key": None, "disconnected_at": timezone.now()}
    Credential.objects.filter(id=run.credential_id).update(**changes)
    assert tick_run(run_id=run.id) == TickOutcome.FAILED
    assert BotRun.objects.get(id=run.id).state == RunState.ERROR


def in_a_while() -> datetime:
    """By now what was asked for before counts as fresh no more."""
    return timezone.now() + timedelta(seconds=5)


def trade(run: BotRun) -> list[str]:
    """A user's purchase. Returns its queries up to the order's placement."""
    run.refresh_from_db()
    wanted = trigger_command(run, side="buy", quote_amount=Decimal(20))
    with CaptureQueriesContext(connection) as caught:
        trade_trigger(command=wanted, context=replace(LIVE_CONTEXT, clock=in_a_while))
    queries = [query["sql"] for query in caught.captured_queries]
    sent = next(number for number, query in enumerate(queries) if "bot.order.sent" in query)
    return queries[:sent]


def test_a_trade_takes_the_shared_candles_while_the_watcher_looks_in_time(run: BotRun, exchange: FakeExchange) -> None:
    watched(run, exchange, seen_at=timezone.now() - timedelta(minutes=1))
    asked = exchange.calls.count("ohlc")
    queries = trade(run)
    assert exchange.calls.count("ohlc") == asked
    assert len(exchange.placed) == 1
    assert len(queries) <= MOST_BEFORE_AN_ORDER, queries


def test_a_trade_asks_for_candles_where_the_watcher_is_late(run: BotRun, exchange: FakeExchange) -> None:
    watched(run, exchange, seen_at=timezone.now() - timedelta(minutes=1), late=timedelta(seconds=10))
    asked = exchange.calls.count("ohlc")
    trade(run)
    assert exchange.calls.count("ohlc") == asked + 1
    assert len(exchange.placed) == 1
