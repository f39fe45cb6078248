"""Bots are woken when their candle closes: one look for all of them, and no bot is forgotten."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.conf import settings

from apps.core.terms import Mode
from apps.exchange.errors import ExchangeUnavailable
from apps.exchange.types import Ohlc
from apps.market.cache import Snapshot
from apps.trading.candle_watcher import POLL_SECONDS, CandleWatcher
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun, RunState
from apps.trading.models.series import CandleSeries
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.run_lease import lease_take
from apps.trading.services.orders.placement import order_place
from apps.trading.services.runs.candle_watch import series_look
from apps.trading.services.runs.schedule import IDLE, DueRun, runs_take_due, runs_wake_for_orders, tick_end
from apps.trading.services.runs.tick import TickOutcome, tick_run
from tests.factories.fake_exchange import FakeExchange, raising
from tests.factories.trading import (
    NOW,
    SteppingClock,
    UncachedMarket,
    add_candle,
    fake_exchange,
    planned_order,
    running_bot,
)

pytestmark = pytest.mark.django_db

SECONDS = settings.ENVIRONMENT.bot_tick_seconds


class KeptMarket(UncachedMarket):
    """Asks only for what nobody has asked for since: what the cache does."""

    def ohlc(self, pair: str, interval_minutes: int, *, not_before: datetime | None = None) -> Snapshot[Ohlc]:
        kept: Snapshot[Ohlc] | None = self.__dict__.get("kept")
        if kept is None or not_before is None or kept.as_of < not_before:
            kept = super().ohlc(pair, interval_minutes)
            self.__dict__["kept"] = kept
        return kept


class Platform:
    """Bots, their candle watcher and their ticks, on a clock that a test moves."""

    def __init__(self) -> None:
        self.exchange: FakeExchange = fake_exchange()
        self.clock = SteppingClock()
        self.market = KeptMarket(self.exchange, self.clock)
        self.context = ExecutionContext(
            open_exchange=lambda run: self.exchange,
            open_market=lambda mode, clock: self.market,
            clock=self.clock,
            sleep=self.clock.sleep,
        )
        self.watcher = CandleWatcher(
            Mode.PAPER, market=self.market, clock=self.clock, monotonic=lambda: self.clock().timestamp()
        )

    def taken(self) -> list[DueRun]:
        runs_wake_for_orders(now=self.clock())
        return runs_take_due(now=self.clock(), tick_seconds=SECONDS)

    def work(self) -> list[TickOutcome]:
        return [tick_run(run_id=due.run_id, context=self.context) for due in self.taken()]

    def look(self) -> None:
        """Moves the clock to the next look at the bots' series, and makes it."""
        series = CandleSeries.objects.get(interval_minutes=60)
        self.clock.now = max(self.clock.now, series.next_look_at) + timedelta(seconds=1)
        self.watcher.step()


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setattr("apps.trading.candle_watcher.market_status", raising(ExchangeUnavailable("Unknown.")))
    return Platform()


@pytest.fixture
def idle_bots(platform: Platform) -> list[BotRun]:
    """Three bots that have decided on the last candle."""
    rare = {"every_candles": 700, "quote_amount": "100"}
    bots = [running_bot(platform.context, strategy="dca", parameters=rare) for _ in range(3)]
    platform.watcher.step()
    assert platform.work() == [TickOutcome.DECIDED] * 3
    return bots


def public_calls(exchange: FakeExchange) -> int:
    return sum(exchange.calls.count(call) for call in ("ohlc", "ticker", "instrument", "instruments", "order_book"))


def test_an_idle_bot_is_not_woken_and_asks_nothing(platform: Platform, idle_bots: list[BotRun]) -> None:
    asked = len(platform.exchange.calls)
    for _ in range(60):
        platform.clock.sleep(1)
        assert platform.work() == []
    assert len(platform.exchange.calls) == asked


def test_the_watcher_waits_for_the_next_look_and_no_longer(platform: Platform, idle_bots: list[BotRun]) -> None:
    series = CandleSeries.objects.get()
    assert platform.watcher.step() == POLL_SECONDS

    platform.clock.now = series.next_look_at - timedelta(milliseconds=40)
    assert platform.watcher.step() == pytest.approx(0.04)

    BotRun.objects.update(state=RunState.STOPPED, stopped_at=NOW)
    platform.clock.now = series.next_look_at + timedelta(seconds=1)
    assert platform.watcher.step() == POLL_SECONDS


def test_a_closed_candle_wakes_all_bots_of_its_series_with_one_call(
    platform: Platform, idle_bots: list[BotRun]
) -> None:
    elsewhere = running_bot(platform.context, interval_minutes=240)
    BotRun.objects.filter(id=elsewhere.id).update(is_idle=True, next_tick_at=NOW + IDLE)
    platform.exchange.candles["XBTUSD", 240] = []
    add_candle(platform.exchange, 23_000)
    platform.watcher.step()
    asked = platform.exchange.calls.count("ohlc")
    platform.look()
    assert {due.run_id for due in platform.taken()} == {bot.id for bot in idle_bots}
    assert [tick_run(run_id=bot.id, context=platform.context) for bot in idle_bots] == [TickOutcome.DECIDED] * 3
    assert platform.exchange.calls.count("ohlc") == asked + 1
    platform.look()
    assert platform.taken() == []


def test_the_ticks_of_idle_bots_make_no_public_call(platform: Platform, idle_bots: list[BotRun]) -> None:
    asked = public_calls(platform.exchange)
    platform.clock.now += IDLE
    assert platform.work() == [TickOutcome.NOTHING_NEW] * 3
    assert public_calls(platform.exchange) == asked


def test_a_wake_up_that_is_lost_is_repeated(platform: Platform, idle_bots: list[BotRun]) -> None:
    add_candle(platform.exchange, 23_000)
    platform.look()
    assert len(platform.taken()) == 3  # sent, and lost with the broker
    assert platform.taken() == []
    platform.clock.sleep(SECONDS)
    assert platform.work() == [TickOutcome.DECIDED] * 3


def test_a_run_that_the_wake_up_missed_is_woken_by_the_next_round(platform: Platform, idle_bots: list[BotRun]) -> None:
    add_candle(platform.exchange, 23_000)
    platform.look()
    assert platform.work() == [TickOutcome.DECIDED] * 3
    # As a worker does that finished an older tick a moment after the candle was seen.
    BotRun.objects.filter(id=idle_bots[0].id).update(decided_candle_at=NOW - timedelta(days=3000))
    platform.clock.sleep(1)
    platform.watcher.step()
    assert [due.run_id for due in platform.taken()] == [idle_bots[0].id]


def test_a_tick_does_not_hide_a_candle_that_closed_while_it_worked(platform: Platform, idle_bots: list[BotRun]) -> None:
    run = idle_bots[0]
    lease = lease_take(run_id=run.id, now=platform.clock())
    assert lease is not None
    due_at = BotRun.objects.get(id=run.id).next_tick_at
    add_candle(platform.exchange, 23_000)
    platform.look()
    tick_end(lease=lease, due_at=due_at, now=platform.clock())
    assert run.id in {due.run_id for due in platform.taken()}


def test_a_run_that_pauses_after_a_failure_is_not_woken(platform: Platform, idle_bots: list[BotRun]) -> None:
    BotRun.objects.update(is_idle=False, next_tick_at=platform.clock() + timedelta(minutes=5))
    add_candle(platform.exchange, 23_000)
    platform.look()
    assert platform.taken() == []


def test_an_order_that_is_to_be_looked_at_wakes_its_bot_alone(platform: Platform, idle_bots: list[BotRun]) -> None:
    planned = planned_order(platform.exchange, platform.clock, kind=OrderKind.REST, price=Decimal(20_000))
    order_place(lease=planned.lease, intent_id=planned.intent.id, deps=planned.deps)
    planned.lease.release()
    BotRun.objects.filter(id=planned.run.id).update(is_idle=True, next_tick_at=platform.clock() + IDLE)
    due_at = OrderIntent.objects.get(id=planned.intent.id).next_check_at
    assert due_at is not None
    assert platform.taken() == []
    platform.clock.now = due_at
    assert [due.run_id for due in platform.taken()] == [planned.run.id]


@pytest.mark.parametrize("state", [state for state in RunState if state != RunState.RUNNING])
def test_nothing_is_asked_where_no_bot_runs(platform: Platform, idle_bots: list[BotRun], state: RunState) -> None:
    BotRun.objects.update(state=state, stopped_at=None if state.is_live else NOW)
    asked = len(platform.exchange.calls)
    for _ in range(5):
        platform.look()
    assert len(platform.exchange.calls) == asked


def test_a_series_is_looked_at_by_one_watcher(platform: Platform, idle_bots: list[BotRun]) -> None:
    other = CandleWatcher(Mode.PAPER, market=platform.market, clock=platform.clock)
    asked = platform.exchange.calls.count("ohlc")
    platform.look()
    other.step()
    assert platform.exchange.calls.count("ohlc") == asked + 1


def test_bots_hear_of_an_exchange_that_does_not_answer(platform: Platform, idle_bots: list[BotRun]) -> None:
    platform.exchange.on("ohlc", before=raising(ExchangeUnavailable("Down.")))
    for failures in range(1, CandleSeries.FAILURES_TO_TELL):
        platform.look()
        assert CandleSeries.objects.get().failures == failures
        assert platform.taken() == []
    platform.look()
    assert platform.work() == [TickOutcome.TROUBLE] * 3
    platform.exchange.off("ohlc")
    platform.clock.sleep(60)
    platform.look()
    assert CandleSeries.objects.get().failures == 0
    platform.work()
    assert not BotRun.objects.filter(trouble_since__isnull=False).exists()


def test_a_live_candle_is_looked_for_when_it_has_closed_on_the_clock(platform: Platform) -> None:
    hour = NOW.replace(minute=0)
    series = CandleSeries.objects.create(mode="live", pair="XBTUSD", interval_minutes=60, next_look_at=NOW)
    one = platform.exchange.candles["XBTUSD", 60][-1]
    platform.exchange.candles["XBTUSD", 60] = [replace(one, opened_at=hour - timedelta(hours=1))]
    platform.clock.now = hour + timedelta(minutes=17)
    assert series_look(series, market=platform.market, length=timedelta(hours=1), now=platform.clock())
    assert timedelta(0) < series.next_look_at - (hour + timedelta(hours=1)) <= timedelta(seconds=1)
