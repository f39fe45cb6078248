"""Bots at work, with an exchange in memory and a clock that moves when it is told to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from apps.core.context import message_context
from apps.core.ids import new_id
from apps.events.commands import executions
from apps.events.commands.delivery import Delivery
from apps.exchange.instrument import Instrument
from apps.exchange.types import Candle, Ohlc, OrderBook, Ticker
from apps.market.cache import Snapshot
from apps.messages.base import Command
from apps.messages.bots import BotConfig, StartBot, StopBot, TriggerTrade
from apps.trading.errors import OrderBarred
from apps.trading.ids import decision_id
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import Dependencies, ExecutionContext
from apps.trading.services.context.run_lease import RunLease, lease_take
from apps.trading.services.orders.lifecycle import DecidedOrder, intent_mark_sending, intent_plan
from apps.trading.services.runs.start import run_start
from tests.factories.fake_exchange import FakeExchange

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
FIRST_CANDLE = datetime(2018, 1, 1, tzinfo=UTC)
PAIR = "XBTUSD"

RISING = [Decimal(20000 + 100 * hour) for hour in range(30)]
FALLING = [Decimal(30000 - 100 * hour) for hour in range(30)]


class SteppingClock:
    """Stands still until somebody sleeps or moves it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def candle(close: Decimal, *, hour: int) -> Candle:
    return Candle(
        opened_at=FIRST_CANDLE + timedelta(hours=hour),
        open=close,
        high=close + 50,
        low=close - 50,
        close=close,
        average=close,
        volume=Decimal(100),
        trades=1000,
    )


def candles(closes: Sequence[Decimal | int], *, first_hour: int = 0) -> list[Candle]:
    return [candle(Decimal(close), hour=first_hour + number) for number, close in enumerate(closes)]


def fake_exchange(closes: Sequence[Decimal | int] = RISING) -> FakeExchange:
    """An exchange whose market has these closes, and which refuses, as the real one, to be asked in a transaction."""
    exchange = FakeExchange(now=NOW)
    exchange.refuse_in_transactions()
    exchange.set_candles(candles(closes))
    return exchange


def add_candle(exchange: FakeExchange, close: Decimal | int) -> None:
    """Another candle closes, and the market stands at its close."""
    known = exchange.candles[PAIR, 60]
    exchange.set_candles([*known, candle(Decimal(close), hour=len(known))])


@dataclass(frozen=True)
class UncachedMarket:
    """The market of an exchange in memory, asked anew for every value."""

    exchange: FakeExchange
    clock: Callable[[], datetime] = timezone.now

    def instrument(self, pair: str) -> Snapshot[Instrument]:
        return Snapshot(self.exchange.instrument(pair), self.clock())

    def ticker(self, pair: str) -> Snapshot[Ticker]:
        return Snapshot(self.exchange.ticker(pair), self.clock())

    def order_book(self, pair: str) -> Snapshot[OrderBook]:
        return Snapshot(self.exchange.order_book(pair), self.clock())

    def ohlc(self, pair: str, interval_minutes: int, *, not_before: datetime | None = None) -> Snapshot[Ohlc]:
        return Snapshot(self.exchange.ohlc(pair, interval_minutes), self.clock())


def context_of(exchange: FakeExchange, clock: SteppingClock | None = None) -> ExecutionContext:
    clock = clock or SteppingClock()
    exchange.clock = clock
    return ExecutionContext(
        open_exchange=lambda run: exchange,
        open_market=lambda mode, clock: UncachedMarket(exchange, clock),
        clock=clock,
        sleep=clock.sleep,
    )


def bot_config(**changes: Any) -> BotConfig:
    facts: dict[str, Any] = {
        "name": "Crossover",
        "mode": "paper",
        "credential_id": uuid4(),
        "pair": PAIR,
        "strategy": "sma_cross",
        "parameters": {"fast": 3, "slow": 8},
        "interval_minutes": 60,
        "quote_budget": Decimal(1000),
        "version": 1,
    }
    return BotConfig(**(facts | changes))


def start_command(*, bot_id: UUID | None = None, requested_at: datetime = NOW, **config: Any) -> StartBot:
    return StartBot(
        command_id=uuid4(),
        bot_id=bot_id or uuid4(),
        user_id=uuid4(),
        config=bot_config(**config),
        requested_at=requested_at,
        expires_at=requested_at + timedelta(days=1),
    )


def stop_command(run: BotRun, *, manner: Any = "stop", requested_at: datetime | None = None) -> StopBot:
    requested_at = requested_at or run.requested_at + timedelta(minutes=1)
    return StopBot(
        command_id=uuid4(),
        bot_id=run.bot_id,
        user_id=run.user_id,
        manner=manner,
        requested_at=requested_at,
        expires_at=requested_at + timedelta(days=1),
    )


def trigger_command(run: BotRun, **wish: Any) -> TriggerTrade:
    return TriggerTrade(
        command_id=uuid4(),
        bot_id=run.bot_id,
        user_id=run.user_id,
        requested_at=NOW,
        expires_at=NOW + timedelta(days=1),
        **wish,
    )


def delivery_of(command: Command, *, now: datetime = NOW) -> Delivery:
    """The next delivery of a command to a worker that may run it."""
    claim = executions.claim(command, worker="test", now=now)
    return Delivery(command.command_id, claim.attempt, executions.max_attempts(), claim.fence, "test")


def running_bot(context: ExecutionContext, **config: Any) -> BotRun:
    """A bot that was started a moment ago."""
    command = start_command(**config)
    with message_context(correlation_id=new_id(), causation_id=command.command_id):
        return run_start(command=command, delivery=delivery_of(command), context=context)


@dataclass(frozen=True)
class Planned:
    """A running bot with an order that is stored and not sent."""

    run: BotRun
    lease: RunLease
    intent: OrderIntent
    deps: Dependencies


def planned_order(
    exchange: FakeExchange,
    clock: SteppingClock | None = None,
    *,
    side: str = "buy",
    kind: OrderKind = OrderKind.TAKE,
    price: Decimal = Decimal(30000),
    volume: Decimal = Decimal("0.01"),
    candle_at: datetime | None = None,
    **config: Any,
) -> Planned:
    context = context_of(exchange, clock)
    run = running_bot(context, **config)
    deps = context.deps(run)
    lease = lease_take(run_id=run.id, now=deps.clock())
    assert lease is not None
    step = decision_id(bot_id=run.bot_id, step="test", side=side)
    order = DecidedOrder(side, kind, price, volume, "test", step, candle_at)
    intent = intent_plan(lease=lease, order=order, decides_candle=False, now=deps.clock())
    assert intent is not None
    return Planned(run, lease, intent, deps)


def mark_sending(planned: Planned) -> OrderIntent:
    """The planned order is marked as being sent."""
    return intent_mark_sending(lease=planned.lease, intent_id=planned.intent.id, now=NOW)


def mark_or_refusal(planned: Planned) -> OrderIntent | OrderBarred:
    try:
        return mark_sending(planned)
    except OrderBarred as refusal:
        return refusal


def only_intent() -> OrderIntent:
    """The one intent that there is."""
    return OrderIntent.objects.select_related("run").get()
