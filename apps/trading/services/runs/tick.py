"""A tick: one worker updates a run's orders, and lets the strategy decide where a new candle has closed."""

import contextlib
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import structlog
from django.db import DatabaseError

from apps.core.context import message_context
from apps.core.errors import PlatformError
from apps.trading.errors import LeaseLost, RunNotTrading, UnexpectedFailure
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import Dependencies, ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.context.run_lease import RunLease, run_lease
from apps.trading.services.orders.lifecycle import intents_recover
from apps.trading.services.orders.placement import Placement, order_cancel, orders_sync, resting_intents
from apps.trading.services.runs.decisions import candle_mark_decided, closed_candles, plan_execute, plans_for
from apps.trading.services.runs.events import run_fail, run_recovered, run_trouble
from apps.trading.services.runs.exits import exit_attempt, exit_open, stays_due
from apps.trading.services.runs.failures import ends_run
from apps.trading.services.runs.histories import history_is_reconciled
from apps.trading.services.runs.rejections import unfilled_tell
from apps.trading.services.runs.schedule import run_set_idle

log = structlog.get_logger(__name__)


class TickOutcome(StrEnum):
    BUSY = "busy"  # another worker is at the bot
    NOT_RUNNING = "not_running"
    NOT_RECONCILED = "not_reconciled"  # after a restore, until the orders are compared with the exchange
    NOTHING_NEW = "nothing_new"  # no candle has closed since the last decision
    EXIT_TRIED = "exit_tried"  # no new candle; an exit that is due was tried
    DECIDED = "decided"
    LOST = "lost"  # another worker took over, or a stop was requested meanwhile
    TROUBLE = "trouble"  # failed; the run retries
    FAILED = "failed"  # a proved fault of the key: the run has ended


def tick_run(*, run_id: UUID, context: ExecutionContext = LIVE_CONTEXT) -> TickOutcome:
    """One tick. Returns at once where another worker holds the run. Expected failures are published, not raised.

    An unexpected exception is published and raised.
    """
    run = BotRun.objects.filter(id=run_id).first()
    if run is None or not run.is_running:
        return TickOutcome.NOT_RUNNING
    if not history_is_reconciled(now=context.clock()):
        return TickOutcome.NOT_RECONCILED
    with (
        message_context(correlation_id=run.correlation_id, causation_id=run.started_event_id),
        run_lease(run_id=run_id, now=context.clock()) as lease,
    ):
        return TickOutcome.BUSY if lease is None else _work(lease, context)


def _work(lease: RunLease, context: ExecutionContext) -> TickOutcome:
    deps = None
    try:
        run = BotRun.objects.get(id=lease.run_id)
        if not run.is_running:
            return TickOutcome.NOT_RUNNING
        deps = context.deps(run)
        due_at = run.next_tick_at
        outcome = _tick(run, lease, deps)
        run_set_idle(lease=lease, due_at=due_at, now=deps.clock())
        if run.trouble_since is not None:
            run_recovered(lease=lease)
    except (LeaseLost, RunNotTrading) as error:
        log.info("tick_given_up", run_id=str(lease.run_id), reason=error.message)
        return TickOutcome.LOST
    except PlatformError as error:
        return _after_failure(lease, error, deps, now=context.clock())
    except DatabaseError:
        raise
    except Exception:
        with contextlib.suppress(DatabaseError, LeaseLost):
            unforeseen = UnexpectedFailure("The bot failed for an unexpected reason.")
            run_trouble(lease=lease, error=unforeseen, now=context.clock())
        raise
    return outcome


def _after_failure(lease: RunLease, error: PlatformError, deps: Dependencies | None, *, now: datetime) -> TickOutcome:
    try:
        if ends_run(error, deps=deps):
            run_fail(lease=lease, code=error.code, message=error.message, now=now)
            return TickOutcome.FAILED
        run_trouble(lease=lease, error=error, now=now)
    except LeaseLost:
        return TickOutcome.LOST
    return TickOutcome.TROUBLE


def _tick(run: BotRun, lease: RunLease, deps: Dependencies) -> TickOutcome:
    intents_recover(lease=lease, now=deps.clock())
    for intent in open_orders_update(run, deps=deps):
        unfilled_tell(intent, lease=lease, now=deps.clock())
    tried = exit_attempt(run, lease=lease, deps=deps)
    run.refresh_from_db()  # an order proved not placed reopens its decision
    if not run.is_running:
        return TickOutcome.LOST
    candles = closed_candles(run, deps)
    if not candles:
        return TickOutcome.NOTHING_NEW if tried is None else TickOutcome.EXIT_TRIED
    lease.renew(now=deps.clock())
    instrument = deps.market.instrument(run.pair).value
    candle_at = candles[-1].opened_at
    plans = plans_for(run, candles, instrument, is_asked=False)
    exits = [plan for plan in plans if stays_due(plan)]
    for plan in exits:
        exit_open(plan, lease=lease, candle_at=candle_at, now=deps.clock())
    if exits:
        exit_attempt(run, lease=lease, deps=deps)
    done = [
        plan_execute(plan, run=run, lease=lease, instrument=instrument, deps=deps, candle_at=candle_at)
        for plan in plans
        if not stays_due(plan)
    ]
    if not exits and not any(isinstance(each, Placement) for each in done):
        candle_mark_decided(lease=lease, candle_at=candle_at)
    return TickOutcome.DECIDED


def open_orders_update(run: BotRun, *, deps: Dependencies) -> list[OrderIntent]:
    """Updates open orders that are due, and cancels those to be cancelled. Raises what the exchange's reads raise."""
    updated = orders_sync(resting_intents(run.id, due_at=deps.clock()), deps=deps)
    for intent in updated:
        if intent.is_resting and intent.cancel_requested_at is not None:
            order_cancel(intent, deps=deps)
    return updated
