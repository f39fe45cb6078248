"""A tick: one worker updates a run's orders, and lets the strategy decide where a new candle has closed."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import structlog
from django.db import DatabaseError
from structlog.contextvars import bound_contextvars

from apps.core.context import message_context
from apps.core.errors import PlatformError
from apps.core.tracing import is_on as is_tracing
from apps.core.tracing import span
from apps.events.store.selectors import event_get
from apps.exchange.errors import KeyLacksPermission
from apps.trading.errors import LeaseLost, RunNotTrading, UnexpectedFailure
from apps.trading.limits import RiskRejection
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.services.context.dependencies import Accounts, Dependencies, ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.context.run_lease import RunLease, run_lease
from apps.trading.services.orders.lifecycle import intents_recover
from apps.trading.services.orders.placement import Placement, order_cancel, orders_sync, resting_intents
from apps.trading.services.runs.decisions import closed_candles, plan_execute, plans_for
from apps.trading.services.runs.events import run_fail, run_recovered, run_trouble
from apps.trading.services.runs.exits import exit_attempt, exit_open, stays_due
from apps.trading.services.runs.failures import ends_run
from apps.trading.services.runs.histories import history_is_reconciled
from apps.trading.services.runs.rejections import unfilled_tell
from apps.trading.services.runs.schedule import tick_end
from apps.trading.services.runs.situation import situation_of

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
    if not history_is_reconciled(now=context.clock()):
        return TickOutcome.NOT_RECONCILED
    with run_lease(run_id=run_id, now=context.clock()) as lease:
        if lease is None:
            is_running = BotRun.objects.filter(id=run_id, state=RunState.RUNNING).exists()
            return TickOutcome.BUSY if is_running else TickOutcome.NOT_RUNNING
        run = lease.run
        if not run.is_running:
            return TickOutcome.NOT_RUNNING
        with _context_of(run):
            return _work(run, lease, context)


@contextmanager
def _context_of(run: BotRun) -> Iterator[None]:
    """What a tick publishes and logs belongs to the run's start. Its span does too, until the run has decided once: a
    trace with every tick of a run would never end."""
    started = event_get(event_id=run.started_event_id) if is_tracing() and run.decided_candle_at is None else None
    ids = {"bot_id": str(run.bot_id), "run_id": str(run.id), "user_id": str(run.user_id)}
    with (
        span("tick", parent=started.traceparent if started else "", bot_id=run.bot_id),
        message_context(correlation_id=run.correlation_id, causation_id=run.started_event_id),
        bound_contextvars(**ids),
    ):
        yield


def _work(run: BotRun, lease: RunLease, context: ExecutionContext) -> TickOutcome:
    # The key is opened when it is first needed: most ticks find nothing to ask of the account.
    accounts = Accounts(context)
    due_at = run.next_tick_at
    try:
        context.check_key(run)
        done = _tick(run, lease, context, accounts)
        if done.outcome is TickOutcome.LOST:
            return done.outcome
        if run.trouble_since is not None:
            run_recovered(lease=lease)
        tick_end(lease=lease, due_at=due_at, decided_candle_at=done.decided_candle_at, now=context.clock())
    except (LeaseLost, RunNotTrading) as error:
        log.info("tick_given_up", run_id=str(lease.run_id), reason=error.message)
        return TickOutcome.LOST
    except PlatformError as error:
        return _after_failure(lease, error, run, accounts, now=context.clock())
    except DatabaseError:
        raise
    except Exception:
        with contextlib.suppress(DatabaseError, LeaseLost):
            unforeseen = UnexpectedFailure("The bot failed for an unexpected reason.")
            run_trouble(lease=lease, error=unforeseen, now=context.clock())
        raise
    return done.outcome


def _after_failure(
    lease: RunLease, error: PlatformError, run: BotRun, accounts: Accounts, *, now: datetime
) -> TickOutcome:
    deps = None
    if isinstance(error, KeyLacksPermission):
        # Whether the key lacks a right is asked of the exchange; a key that does not open proves nothing of it.
        with contextlib.suppress(PlatformError):
            deps = accounts.of(run)
    try:
        if ends_run(error, deps=deps):
            run_fail(lease=lease, code=error.code, message=error.message, now=now)
            return TickOutcome.FAILED
        run_trouble(lease=lease, error=error, now=now)
    except LeaseLost:
        return TickOutcome.LOST
    return TickOutcome.TROUBLE


@dataclass(frozen=True, slots=True)
class _Done:
    """What a tick came to. `decided_candle_at`: decided on this candle, which is not stored yet."""

    outcome: TickOutcome
    decided_candle_at: datetime | None = None


def _tick(run: BotRun, lease: RunLease, context: ExecutionContext, accounts: Accounts) -> _Done:
    situation = situation_of(run, now=context.clock())
    tried = None
    if situation.has_orders or situation.has_exit:
        tried = _look_after_orders(run, lease, accounts.of(run))
        run.refresh_from_db()  # an order proved not placed reopens its decision
        if not run.is_running:
            return _Done(TickOutcome.LOST)
        situation = situation_of(run, now=context.clock())
    market = context.market(run)
    candles = closed_candles(run, market, seen_at=situation.candle_seen_at, clock=context.clock)
    if not candles:
        return _Done(TickOutcome.NOTHING_NEW if tried is None else TickOutcome.EXIT_TRIED)
    candle_at = candles[-1].opened_at
    instrument = market.instrument(run.pair).value
    plans = plans_for(run, candles, instrument, situation, is_asked=False)
    if not plans:
        return _Done(TickOutcome.DECIDED, candle_at)
    # Opened before anything is planned: a key that does not open leaves no planned order.
    deps = accounts.of(run)
    lease.renew(now=deps.clock())
    exits = [plan for plan in plans if stays_due(plan)]
    for plan in exits:
        exit_open(plan, lease=lease, candle_at=candle_at, now=deps.clock())
    if exits:
        exit_attempt(run, lease=lease, deps=deps)
    read = candles if situation.is_watched else None
    placed = [
        plan_execute(plan, run=run, lease=lease, instrument=instrument, deps=deps, candle_at=candle_at, candles=read)
        for plan in plans
        if not stays_due(plan)
    ]
    is_stored = bool(exits) or any(isinstance(each, Placement) for each in placed)
    return _Done(TickOutcome.DECIDED, None if is_stored else candle_at)


def _look_after_orders(run: BotRun, lease: RunLease, deps: Dependencies) -> Placement | RiskRejection | None:
    """Recovers and updates the run's orders, and tries an exit that is due. Returns what the attempt came to."""
    intents_recover(lease=lease, now=deps.clock())
    for intent in open_orders_update(run, deps=deps):
        unfilled_tell(intent, lease=lease, now=deps.clock())
    return exit_attempt(run, lease=lease, deps=deps)


def open_orders_update(run: BotRun, *, deps: Dependencies) -> list[OrderIntent]:
    """Updates open orders that are due, and cancels those to be cancelled. Raises what the exchange's reads raise."""
    updated = orders_sync(resting_intents(run.id, due_at=deps.clock()), deps=deps)
    for intent in updated:
        if intent.is_resting and intent.cancel_requested_at is not None:
            order_cancel(intent, deps=deps)
    return updated
