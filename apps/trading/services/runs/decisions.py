"""Decisions: market data and position to the strategy, its plans through the risk rules, and on to placement."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from apps.core.terms import Mode, Side
from apps.exchange.clock import LIMIT_SECONDS, offset_beyond_limit
from apps.exchange.instrument import Instrument
from apps.exchange.types import Candle
from apps.market.source import MarketSource
from apps.strategies.base import OrderPlan, Snapshot
from apps.strategies.registry import strategy_get
from apps.trading.errors import OrderBarred
from apps.trading.ids import candle_step, decision_id
from apps.trading.limits import Figures, RiskRejection
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import ACTIVE_STATES, DOUBTFUL_STATES
from apps.trading.models.orders import OrderKind
from apps.trading.models.runs import BotRun
from apps.trading.risk import SLIPPAGE, Exposure, SizedOrder, assess
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.context.run_lease import RunLease
from apps.trading.services.orders.bars import cap_rejection, order_bar_of
from apps.trading.services.orders.lifecycle import DecidedOrder, intent_plan
from apps.trading.services.orders.placement import Placement, order_place
from apps.trading.services.orders.positions import WORST_FEE_RATE, position_get
from apps.trading.services.runs.events import trade_skipped
from apps.trading.services.runs.record import record_of
from apps.trading.services.runs.rejections import placement_apply
from apps.trading.services.runs.situation import Situation

_COMMITTED = """
SELECT coalesce(array_agg(side), '{}'), coalesce(array_agg(state), '{}'),
       EXISTS (SELECT FROM trading_due_exit WHERE run_id = %(run_id)s)
  FROM trading_order_intent WHERE bot_id = %(bot_id)s AND state = ANY(%(active)s)
"""


def closed_candles(
    run: BotRun, market: MarketSource, *, seen_at: datetime | None, clock: Callable[[], datetime]
) -> tuple[Candle, ...]:
    """The closed candles of the run's pair, oldest first. Empty where the run has already decided on the last one.

    `seen_at`: see `Situation.candle_seen_at`.
    """
    interval = run.interval_minutes
    closed = market.ohlc(run.pair, interval, not_before=seen_at).value.closed
    if closed and run.decided_candle_at is not None and closed[-1].opened_at < run.decided_candle_at:
        # Read before this run decided, or the market has gone back in time, as a replay does when it starts again.
        closed = market.ohlc(run.pair, interval, not_before=clock()).value.closed
    return () if not closed or closed[-1].opened_at == run.decided_candle_at else closed


def plans_for(
    run: BotRun, candles: tuple[Candle, ...], instrument: Instrument, situation: Situation, *, is_asked: bool
) -> list[OrderPlan]:
    """The order plans of the run's strategy now. `is_asked`: a user asked for a trade."""
    snapshot = Snapshot(
        candles=candles,
        base_volume=situation.base_volume,
        # Below either minimum nothing can be sold. A sale is priced below the market by up to the slippage.
        minimum_volume=instrument.smallest_order(candles[-1].close * (1 - SLIPPAGE)),
        last_buy_at=situation.last_buy_at,
        is_asked=is_asked,
    )
    definition = run.definition
    return strategy_get(definition.strategy).read(definition.parameters).decide(snapshot)


def plan_execute(
    plan: OrderPlan,
    *,
    run: BotRun,
    lease: RunLease,
    instrument: Instrument,
    deps: Dependencies,
    candle_at: datetime | None,
    candles: Sequence[Candle] | None = None,
    command_id: UUID | None = None,
) -> Placement | RiskRejection | None:
    """Places the order of a plan. Returns the risk rule that rejects it, or None where it was decided before.

    The decision belongs to the candle, or to the command where one asked for the trade. `candles`: see `order_sized`.
    """
    is_asked = command_id is not None

    def _skip(rejection: RiskRejection) -> RiskRejection:
        trade_skipped(
            lease=lease, side=plan.side, rejection=rejection, candle_at=candle_at, is_asked=is_asked, now=deps.clock()
        )
        return rejection

    sized = order_sized(plan, run=run, instrument=instrument, deps=deps, candles=candles)
    if isinstance(sized, RiskRejection):
        return _skip(sized)
    order = decided_order(plan, sized, run, candle_at=candle_at, command_id=command_id)
    intent = intent_plan(lease=lease, order=order, decides_candle=not is_asked, now=deps.clock())
    if intent is None:
        return None
    try:
        placement = order_place(lease=lease, intent_id=intent.id, deps=deps)
    except OrderBarred as barred:
        return _skip(barred.rejection)
    placement_apply(placement, side=plan.side, lease=lease, deps=deps)
    return placement


def order_sized(
    plan: OrderPlan, *, run: BotRun, instrument: Instrument, deps: Dependencies, candles: Sequence[Candle] | None = None
) -> SizedOrder | RiskRejection:
    """The sized order of a plan at the price now, or the rule that rejects it. Raises what the market's reads raise.

    `candles` are the closed ones, where they were read since the last one closed; None: ask for them.
    """
    if bar := order_bar_of(run, plan.side):
        return RiskRejection(bar.code, bar.message)
    if rejection := _clock_rejection(plan, run, now=deps.clock()):
        return rejection
    ticker = deps.market.ticker(run.pair)
    if candles is None:
        candles = deps.market.ohlc(run.pair, run.interval_minutes).value.closed
    position = position_get(run)
    record = record_of(
        run,
        position,
        price=ticker.value.bid,
        price_as_of=ticker.as_of,
        last=candles[-1] if candles else None,
        now=deps.clock(),
    )
    sized = assess(
        plan,
        exposure=exposure_of(run, position, now=deps.clock()),
        instrument=instrument,
        ticker=ticker.value,
        limits=run.definition.risk,
        record=record,
    )
    if isinstance(sized, RiskRejection) or plan.side is not Side.BUY:
        return sized
    return cap_rejection(run, position, price=sized.price, volume=sized.volume, now=deps.clock()) or sized


def _clock_rejection(plan: OrderPlan, run: BotRun, *, now: datetime) -> RiskRejection | None:
    """Purchases stop where our clock and the exchange's differ too much for the deadlines of orders; sales go on."""
    if plan.side is not Side.BUY:
        return None
    offset = offset_beyond_limit(mode=Mode(run.mode), now=now)
    if offset is None:
        return None
    side = "ahead of" if offset.certain > 0 else "behind"
    return RiskRejection(
        "clock_skew",
        f"The platform's clock is {abs(offset.estimate):.1f} s {side} the exchange's; up to {LIMIT_SECONDS:g} s are "
        "allowed for a purchase. The operator must synchronise it.",
        Figures(limit=Decimal(str(LIMIT_SECONDS)), actual=Decimal(f"{abs(offset.estimate):.1f}"), unit="seconds"),
    )


def exposure_of(run: BotRun, position: Position, *, now: datetime) -> Exposure:
    """What the bot may still commit. Open and doubtful orders count with all that they may take."""
    with connection.cursor() as cursor:
        cursor.execute(_COMMITTED, {"run_id": run.id, "bot_id": run.bot_id, "active": ACTIVE_STATES})
        sides, states, exit_due = cursor.fetchone()
    return Exposure(
        quote_available=run.definition.quote_budget - position.quote_spent - position.quote_reserved,
        base_available=position.base_available,
        has_doubtful_order=any(state in DOUBTFUL_STATES for state in states),
        active_sides=frozenset(sides),
        entries_held=run.entries_held_until is not None and now < run.entries_held_until,
        exit_due=exit_due,
        worst_fee_rate=WORST_FEE_RATE,
    )


def decided_order(
    plan: OrderPlan, sized: SizedOrder, run: BotRun, *, candle_at: datetime | None, command_id: UUID | None
) -> DecidedOrder:
    """The order under its decision id, made of the candle or command, the side and the level."""
    step = f"command:{command_id}"
    if command_id is None:
        assert candle_at is not None
        step = candle_step(run.definition.strategy, candle_at)
    return DecidedOrder(
        side=plan.side.value,
        kind=OrderKind(sized.kind),
        price=sized.price,
        volume=sized.volume,
        reason=plan.reason,
        decision_id=decision_id(bot_id=run.bot_id, step=step, side=plan.side.value, level=plan.level),
        candle_at=candle_at,
        command_id=command_id,
    )
