"""Exits stay due: what a sale of the strategy leaves unsold is tried again until it is done, or the run ends.

A decision to sell is stored before its first attempt. Each attempt is an order of its own, at a price read then, and is
begun only when the one before has provably ended. A worker that dies leaves the exit due.
"""

from datetime import datetime, timedelta
from decimal import Decimal

import structlog
from django.db import transaction

from apps.core.due import CLOCKS_DIFFER
from apps.core.terms import Side
from apps.exchange.instrument import Instrument
from apps.exchange.types import RejectionKind
from apps.strategies.base import OrderPlan
from apps.trading.ids import candle_step, decision_id
from apps.trading.limits import RiskRejection
from apps.trading.models.exits import DueExit
from apps.trading.models.runs import BotRun
from apps.trading.risk import SLIPPAGE
from apps.trading.services.context.dependencies import Dependencies
from apps.trading.services.context.run_lease import RunLease, run_get_for_update
from apps.trading.services.orders.due_exits import exit_left
from apps.trading.services.orders.lifecycle import DecidedOrder, intent_plan
from apps.trading.services.orders.placement import Placement, order_place
from apps.trading.services.orders.positions import position_get
from apps.trading.services.runs.decisions import order_sized
from apps.trading.services.runs.events import trade_skipped
from apps.trading.services.runs.rejections import placement_apply

log = structlog.get_logger(__name__)

# The pause after an attempt doubles with every attempt. A final refusal will hardly be another one soon.
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2, 60
SHORTEST_PAUSE_REFUSED_SECONDS, LONGEST_PAUSE_REFUSED_SECONDS = 60, 3600

# Nothing is left that could be sold.
DONE = frozenset({"nothing_to_sell", "below_minimum"})
# The exchange has raised its minimum since the pair's rules were read: the same as "below_minimum".
BELOW_A_NEW_MINIMUM = frozenset({"order_minimum", "cost_minimum"})
# An earlier sale has not ended: that is no attempt, and nothing to tell.
WAITING = "order_open"


def stays_due(plan: OrderPlan) -> bool:
    """Whether a plan of the strategy is an exit that takes the market: resting sales wait on the order book instead."""
    return plan.side is Side.SELL and plan.limit_price is None and plan.quote_amount is None


@transaction.atomic
def exit_open(plan: OrderPlan, *, lease: RunLease, candle_at: datetime, now: datetime) -> None:
    """Stores the exit as due; the run has thereby decided on the candle. Raises LeaseLost.

    While an earlier exit is due, the new one is added to it: one decision sells at a time.
    """
    run = run_get_for_update(lease)
    due = DueExit.objects.filter(run=run).first()
    if due is None:
        step = candle_step(run.definition.strategy, candle_at)
        due = DueExit(
            run=run,
            decision_id=decision_id(bot_id=run.bot_id, step=step, side=plan.side.value, level=plan.level),
            reason=plan.reason,
            candle_at=candle_at,
            base_volume=plan.base_volume,
            decided_at=now,
            next_attempt_at=now,
            updated_at=now,
        )
    elif due.base_volume is None or plan.base_volume is None:
        due.base_volume = None
    else:
        due.base_volume += plan.base_volume
    due.save()
    run.decided_candle_at = candle_at
    run.save(update_fields=["decided_candle_at"])


def exit_attempt(run: BotRun, *, lease: RunLease, deps: Dependencies) -> Placement | RiskRejection | None:
    """Tries to sell what is left of the run's exit, where one is due now. Raises what the market's reads raise."""
    due = DueExit.objects.filter(run_id=run.id).first()
    if due is None or not _is_time(due, now=deps.clock()):
        return None
    left = exit_left(due)
    if left is not None and left <= 0:
        _close(due, lease, because="sold")
        return None
    lease.renew(now=deps.clock())
    instrument = deps.market.instrument(run.pair).value
    plan = OrderPlan(side=Side.SELL, reason=due.reason, base_volume=_wanted(due, run))
    sized = order_sized(plan, run=run, instrument=instrument, deps=deps)
    if isinstance(sized, RiskRejection):
        _refused(due, sized, lease, now=deps.clock())
        return sized
    _count(due, lease, now=deps.clock())
    order = DecidedOrder(
        side=Side.SELL.value,
        kind=sized.kind,
        price=sized.price,
        volume=sized.volume,
        reason=due.reason,
        decision_id=due.decision_id,
        candle_at=due.candle_at,
        is_exit=True,
    )
    intent = intent_plan(lease=lease, order=order, decides_candle=False, now=deps.clock())
    if intent is None:
        return None
    placement = order_place(lease=lease, intent_id=intent.id, deps=deps)
    placement_apply(placement, side=Side.SELL, lease=lease, deps=deps)
    _after(placement, due, instrument, lease, now=deps.clock())
    return placement


def _is_time(due: DueExit, *, now: datetime) -> bool:
    return due.next_attempt_at <= now or due.updated_at > now + CLOCKS_DIFFER


def _wanted(due: DueExit, run: BotRun) -> Decimal | None:
    """What to sell now. More than the bot holds is everything: a manual sale may have taken its part."""
    left = exit_left(due)
    available = position_get(run).base_available
    return None if left is None or left >= available else left


def _refused(due: DueExit, rejection: RiskRejection, lease: RunLease, *, now: datetime) -> None:
    if rejection.code in DONE:
        _close(due, lease, because=rejection.code)
        return
    if rejection.code == WAITING:
        _wait(due, lease, until=now + timedelta(seconds=SHORTEST_PAUSE_SECONDS), now=now)
        return
    _count(due, lease, now=now)
    trade_skipped(lease=lease, side=Side.SELL, rejection=rejection, candle_at=due.candle_at, is_asked=False, now=now)


def _after(placement: Placement, due: DueExit, instrument: Instrument, lease: RunLease, *, now: datetime) -> None:
    """What an attempt that was sent means for the exit."""
    rejection = placement.rejection
    if rejection is not None and rejection.code in BELOW_A_NEW_MINIMUM:
        _close(due, lease, because=rejection.code)
        return
    if rejection is not None:
        # With fewer coins to sell the next attempt is another order than the one that was refused.
        is_smaller = position_get(placement.intent.run).base_available < placement.intent.volume
        is_final = rejection.kind is RejectionKind.FINAL and not is_smaller
        seconds = _pause_seconds(due.attempts, is_final=is_final)
        _wait(due, lease, until=now + timedelta(seconds=max(seconds, rejection.retry_after_seconds or 0)), now=now)
        return
    intent = placement.intent
    if intent.is_active:
        return
    left = _wanted(due, intent.run)
    if left is None:
        left = position_get(intent.run).base_volume
    if left < instrument.smallest_order(intent.price * (1 - SLIPPAGE)):
        _close(due, lease, because="sold")


def _pause_seconds(attempts: int, *, is_final: bool = False) -> int:
    shortest, longest = (
        (SHORTEST_PAUSE_REFUSED_SECONDS, LONGEST_PAUSE_REFUSED_SECONDS)
        if is_final
        else (SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    )
    return min(longest, shortest << min(max(attempts - 1, 0), 20))


def _count(due: DueExit, lease: RunLease, *, now: datetime) -> None:
    """Counts an attempt before it is made, so that one in which the worker dies is followed by a pause too."""
    due.attempts += 1
    _wait(due, lease, until=now + timedelta(seconds=_pause_seconds(due.attempts)), now=now)


@transaction.atomic
def _wait(due: DueExit, lease: RunLease, *, until: datetime, now: datetime) -> None:
    """Saves the exit with its next attempt, at which the run ticks (`schedule.run_set_idle`). Raises LeaseLost."""
    run = run_get_for_update(lease)
    DueExit.objects.filter(run=run).update(attempts=due.attempts, next_attempt_at=until, updated_at=now)


@transaction.atomic
def _close(due: DueExit, lease: RunLease, *, because: str) -> None:
    run = run_get_for_update(lease)
    DueExit.objects.filter(run=run).delete()
    log.info("exit_done", run_id=str(run.id), bot_id=str(run.bot_id), attempts=due.attempts, because=because)
