"""Decisions: market data and position to the strategy, its plans through the risk rules, and on to placement."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.core.terms import Mode, Side
from apps.exchange.clock import LIMIT_SECONDS, offset_beyond_limit
from apps.exchange.instrument import Instrument
from apps.exchange.types import Candle
from apps.risk.caps import entry_breach
from apps.risk.live_trading import DISABLED, LiveTradingDisabled, is_live_trading_refused
from apps.strategies.base import OrderPlan, Snapshot
from apps.strategies.registry import strategy_get
from apps.trading.errors import LeaseLost
from apps.trading.ids import candle_step, decision_id
from apps.trading.limits import Figures, RiskRejection
from apps.trading.models.exits import DueExit
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import ACTIVE_STATES, DOUBTFUL_STATES
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun
from apps.trading.models.series import CandleSeries
from apps.trading.risk import SLIPPAGE, Exposure, SizedOrder, assess
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.context.run_lease import RunLease
from apps.trading.services.orders.bars import order_bar_of
from apps.trading.services.orders.lifecycle import DecidedOrder, intent_plan
from apps.trading.services.orders.placement import Placement, order_place
from apps.trading.services.orders.positions import WORST_FEE_RATE, position_get
from apps.trading.services.runs.events import trade_skipped
from apps.trading.services.runs.record import record_of
from apps.trading.services.runs.rejections import placement_apply


def closed_candles(run: BotRun, deps: Dependencies) -> tuple[Candle, ...]:
    """The closed candles of the run's pair, oldest first. Empty where the run has already decided on the last one."""
    interval = run.definition.interval_minutes
    closed = deps.market.ohlc(run.pair, interval, not_before=_last_seen_at(run)).value.closed
    if closed and run.decided_candle_at is not None and closed[-1].opened_at < run.decided_candle_at:
        # Read before this run decided, or the market has gone back in time, as a replay does when it starts again.
        closed = deps.market.ohlc(run.pair, interval, not_before=deps.clock()).value.closed
    return () if not closed or closed[-1].opened_at == run.decided_candle_at else closed


def _last_seen_at(run: BotRun) -> datetime | None:
    """When the watcher first saw the last closed candle: what was asked for since then has it. None: ask again."""
    kept = CandleSeries.objects.filter(mode=run.mode, pair=run.pair, interval_minutes=run.interval_minutes).first()
    return None if kept is None or kept.is_failing else kept.seen_at


def plans_for(run: BotRun, candles: tuple[Candle, ...], instrument: Instrument, *, is_asked: bool) -> list[OrderPlan]:
    """The order plans of the run's strategy now. `is_asked`: a user asked for a trade."""
    position = position_get(run)
    snapshot = Snapshot(
        candles=candles,
        base_volume=position.base_volume,
        # Below either minimum nothing can be sold. A sale is priced below the market by up to the slippage.
        minimum_volume=instrument.smallest_order(candles[-1].close * (1 - SLIPPAGE)),
        last_buy_at=_last_buy_at(run),
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
    command_id: UUID | None = None,
) -> Placement | RiskRejection | None:
    """Places the order of a plan. Returns the risk rule that rejects it, or None where it was decided before.

    The decision belongs to the candle, or to the command where one asked for the trade.
    """
    is_asked = command_id is not None
    sized = order_sized(plan, run=run, instrument=instrument, deps=deps)
    if isinstance(sized, RiskRejection):
        trade_skipped(
            lease=lease, side=plan.side, rejection=sized, candle_at=candle_at, is_asked=is_asked, now=deps.clock()
        )
        return sized
    order = decided_order(plan, sized, run, candle_at=candle_at, command_id=command_id)
    intent = intent_plan(lease=lease, order=order, decides_candle=not is_asked, now=deps.clock())
    if intent is None:
        return None
    placement = order_place(lease=lease, intent_id=intent.id, deps=deps)
    placement_apply(placement, side=plan.side, lease=lease, deps=deps)
    return placement


def order_sized(
    plan: OrderPlan, *, run: BotRun, instrument: Instrument, deps: Dependencies
) -> SizedOrder | RiskRejection:
    """The sized order of a plan at the price now, or the rule that rejects it. Raises what the market's reads raise."""
    if is_live_trading_refused(run.mode):
        return RiskRejection(LiveTradingDisabled.code, DISABLED)
    if bar := order_bar_of(run, plan.side):
        return RiskRejection(bar.code, bar.message)
    if rejection := _clock_rejection(plan, run, now=deps.clock()):
        return rejection
    ticker = deps.market.ticker(run.pair)
    closed = deps.market.ohlc(run.pair, run.definition.interval_minutes).value.closed
    position = position_get(run)
    record = record_of(
        run,
        position,
        price=ticker.value.bid,
        price_as_of=ticker.as_of,
        last=closed[-1] if closed else None,
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
    return _cap_rejection(sized, run, position, instrument, now=deps.clock()) or sized


def _cap_rejection(
    order: SizedOrder, run: BotRun, position: Position, instrument: Instrument, *, now: datetime
) -> RiskRejection | None:
    """The cap on live trading that a purchase would break, at its highest price."""
    breach = entry_breach(
        run.mode,
        user_id=run.user_id,
        bot_id=run.bot_id,
        asset=instrument.quote,
        cost=order.price * order.volume,
        position_value=position.base_volume * order.price + position.quote_reserved,
        quote_budget=run.definition.quote_budget,
        now=now,
    )
    if breach is None:
        return None
    return RiskRejection(breach.code, breach.message, Figures(breach.limit, breach.actual, breach.asset))


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
    active = list(OrderIntent.objects.filter(bot_id=run.bot_id, state__in=ACTIVE_STATES).values_list("side", "state"))
    return Exposure(
        quote_available=run.definition.quote_budget - position.quote_spent - position.quote_reserved,
        base_available=position.base_available,
        has_doubtful_order=any(state in DOUBTFUL_STATES for _, state in active),
        active_sides=frozenset(side for side, _ in active),
        entries_held=run.entries_held_until is not None and now < run.entries_held_until,
        exit_due=DueExit.objects.filter(run_id=run.id).exists(),
        worst_fee_rate=WORST_FEE_RATE,
    )


def candle_mark_decided(*, lease: RunLease, candle_at: datetime) -> None:
    """Records that the run has decided on this candle and places no further order for it. Raises LeaseLost."""
    held = BotRun.objects.filter(id=lease.run_id, fence=lease.fence)
    if not held.update(decided_candle_at=candle_at):
        raise LeaseLost("Another worker took over this run.", run_id=str(lease.run_id))


def _last_buy_at(run: BotRun) -> datetime | None:
    bought = OrderIntent.objects.filter(bot_id=run.bot_id, pair=run.pair, side=Side.BUY, candle_at__isnull=False)
    carried_out = bought.filter(filled_volume__gt=Decimal(0)) | bought.filter(state__in=ACTIVE_STATES)
    return carried_out.order_by("-planned_at").values_list("candle_at", flat=True).first()


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
