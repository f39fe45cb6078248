"""From the market to an order: what the strategy sees, what it wants, what the rules make of it."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.core.terms import Side
from apps.exchange.instrument import Instrument
from apps.exchange.types import Candle
from apps.strategies.base import OrderPlan, Snapshot
from apps.strategies.registry import strategy_get
from apps.trading.errors import LeaseLost
from apps.trading.ids import candle_step, decision_id
from apps.trading.models.ledger import Position
from apps.trading.models.order_states import ACTIVE_STATES, DOUBTFUL_STATES
from apps.trading.models.orders import OrderIntent, OrderKind
from apps.trading.models.runs import BotRun
from apps.trading.risk import HeldBack, Standing, Terms, assess
from apps.trading.services.context.dependencies import Desk
from apps.trading.services.context.run_lease import RunLease
from apps.trading.services.orders.lifecycle import SizedOrder, intent_plan
from apps.trading.services.orders.placement import Placement, order_place
from apps.trading.services.orders.positions import WORST_FEE_RATE
from apps.trading.services.runs.events import trade_skipped
from apps.trading.services.runs.rejections import placement_settle


def closed_candles(run: BotRun, desk: Desk) -> tuple[Candle, ...]:
    """The closed candles of the run's pair, oldest first; empty where the run has decided on the last one already."""
    definition = run.definition
    if run.decided_candle_at is not None:
        fresh = desk.exchange.ohlc(run.pair, definition.interval_minutes, since=run.decided_candle_at)
        later = [candle for candle in fresh.closed if candle.opened_at > run.decided_candle_at]
        # Without even a forming candle the market has gone back in time, as a replay that begins again does.
        if not later and fresh.forming is not None:
            return ()
    closed = desk.exchange.ohlc(run.pair, definition.interval_minutes).closed
    return () if not closed or closed[-1].opened_at == run.decided_candle_at else closed


def plans_for(run: BotRun, candles: tuple[Candle, ...], instrument: Instrument, *, is_asked: bool) -> list[OrderPlan]:
    """What the run's strategy wants now."""
    position = Position.objects.get(bot_id=run.bot_id, pair=run.pair)
    snapshot = Snapshot(
        candles=candles,
        base_volume=position.base_volume,
        minimum_volume=instrument.order_minimum,
        last_buy_at=_last_buy_at(run),
        is_asked=is_asked,
    )
    definition = run.definition
    return strategy_get(definition.strategy).read(definition.parameters).decide(snapshot)


def plan_carry_out(
    plan: OrderPlan,
    *,
    run: BotRun,
    lease: RunLease,
    instrument: Instrument,
    desk: Desk,
    candle_at: datetime | None,
    command_id: UUID | None = None,
) -> Placement | HeldBack | None:
    """Places the order that a plan wants, or says which rule holds it back. None where this was decided before.

    The decision was taken for the candle, or for the command where one asked for it.
    """
    is_asked = command_id is not None
    ticker = desk.exchange.ticker(run.pair)
    standing = standing_of(run, now=desk.clock())
    terms = assess(plan, standing=standing, instrument=instrument, ticker=ticker)
    if isinstance(terms, HeldBack):
        trade_skipped(lease=lease, side=plan.side, held=terms, candle_at=candle_at, is_asked=is_asked, now=desk.clock())
        return terms
    order = sized(plan, terms, run, candle_at=candle_at, command_id=command_id)
    intent = intent_plan(lease=lease, order=order, decides_candle=not is_asked, now=desk.clock())
    if intent is None:
        return None
    placement = order_place(lease=lease, intent_id=intent.id, desk=desk)
    placement_settle(placement, side=plan.side, lease=lease, desk=desk)
    return placement


def standing_of(run: BotRun, *, now: datetime) -> Standing:
    """What the bot may still do. Orders that are open or in doubt count as if they took all that they may."""
    position = Position.objects.get(bot_id=run.bot_id, pair=run.pair)
    active = list(OrderIntent.objects.filter(bot_id=run.bot_id, state__in=ACTIVE_STATES).values_list("side", "state"))
    return Standing(
        quote_available=run.definition.quote_budget - position.quote_spent - position.quote_reserved,
        base_available=position.base_volume - position.base_reserved,
        has_doubtful_order=any(state in DOUBTFUL_STATES for _, state in active),
        active_sides=frozenset(side for side, _ in active),
        entries_held=run.entries_held_until is not None and now < run.entries_held_until,
        worst_fee_rate=WORST_FEE_RATE,
    )


def candle_mark_decided(*, lease: RunLease, candle_at: datetime) -> None:
    """The run has decided on this candle, and wants nothing, or nothing more. Raises LeaseLost."""
    held = BotRun.objects.filter(id=lease.run_id, fence=lease.fence)
    if not held.update(decided_candle_at=candle_at):
        raise LeaseLost("Another worker took over this run.", run_id=str(lease.run_id))


def _last_buy_at(run: BotRun) -> datetime | None:
    bought = OrderIntent.objects.filter(bot_id=run.bot_id, pair=run.pair, side=Side.BUY, candle_at__isnull=False)
    carried_out = bought.filter(filled_volume__gt=Decimal(0)) | bought.filter(state__in=ACTIVE_STATES)
    return carried_out.order_by("-planned_at").values_list("candle_at", flat=True).first()


def sized(
    plan: OrderPlan, terms: Terms, run: BotRun, *, candle_at: datetime | None, command_id: UUID | None
) -> SizedOrder:
    """The order, under the id of the decision: what it was taken for, the side and the level."""
    step = f"command:{command_id}"
    if command_id is None:
        assert candle_at is not None
        step = candle_step(run.definition.strategy, candle_at)
    return SizedOrder(
        side=plan.side.value,
        kind=OrderKind(terms.kind),
        price=terms.price,
        volume=terms.volume,
        reason=plan.reason,
        decision_id=decision_id(bot_id=run.bot_id, step=step, side=plan.side.value, level=plan.level),
        candle_at=candle_at,
        command_id=command_id,
    )
