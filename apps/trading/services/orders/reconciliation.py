"""Reconciliation of orders that no tick updates: unknown outcome, dead workers, ended runs."""

from datetime import datetime, timedelta
from uuid import UUID

import structlog

from apps.core.context import message_context
from apps.core.errors import PlatformError
from apps.trading.errors import LeaseLost
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.selectors import keys_to_reconcile, look_is_due, runs_to_reconcile
from apps.trading.services.context.dependencies import Dependencies, ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.context.run_lease import run_lease
from apps.trading.services.orders.lifecycle import intent_poll_at, intents_recover
from apps.trading.services.orders.placement import order_cancel, orders_sync
from apps.trading.services.orders.releases import deleted_bot_release
from apps.trading.services.orders.unknown_outcome import intent_resolve

log = structlog.get_logger(__name__)

# Pause of a run's orders after a failure: retryable, or refused.
PAUSE_AFTER_FAILURE = timedelta(seconds=5)
PAUSE_AFTER_REFUSAL = timedelta(seconds=60)


def orders_reconcile(*, context: ExecutionContext = LIVE_CONTEXT) -> int:
    """One round over all keys with due orders, one after the other. Returns the number of orders."""
    return sum(key_reconcile(key, context=context) for key in keys_to_reconcile(now=context.clock()))


def key_reconcile(credential_id: UUID, *, context: ExecutionContext = LIVE_CONTEXT) -> int:
    """One round over the runs of one key with due orders. Returns the number of orders.

    A failing run does not affect others. Keys share nothing: rounds of several keys may go on at once.
    """
    runs = runs_to_reconcile(credential_id=credential_id, now=context.clock())
    return sum(run_reconcile(run, context=context) for run in runs)


def run_reconcile(run: BotRun, *, context: ExecutionContext = LIVE_CONTEXT) -> int:
    """Updates the run's due orders and returns their number; 0 while another worker holds the run."""
    with (
        message_context(correlation_id=run.correlation_id, causation_id=run.started_event_id),
        run_lease(run_id=run.id, now=context.clock()) as lease,
    ):
        if lease is None:
            return 0
        intents_recover(lease=lease, now=context.clock())
        due = _due(run, now=context.clock())
        try:
            deps = context.deps(run) if due else None
            for intent in due:
                assert deps is not None
                lease.renew(now=deps.clock())
                _update(intent, deps)
        except LeaseLost as error:
            log.info("reconciliation_given_up", run_id=str(run.id), reason=error.message)
        except PlatformError as error:
            pause = PAUSE_AFTER_FAILURE if error.retryable else PAUSE_AFTER_REFUSAL
            log.warning("reconciliation_delayed", run_id=str(run.id), code=error.code, reason=error.message)
            for intent in due:
                intent_poll_at(intent_id=intent.id, next_check_at=context.clock() + pause)
        if due:
            deleted_bot_release(run, now=context.clock())
        return len(due)


def _due(run: BotRun, *, now: datetime) -> list[OrderIntent]:
    return list(
        OrderIntent.objects.filter(look_is_due(now=now), run=run, state__in=ACTIVE_STATES).order_by("planned_at")
    )


def _update(intent: OrderIntent, deps: Dependencies) -> None:
    if intent.state == IntentState.UNKNOWN:
        intent_resolve(intent, deps=deps)
    elif intent.is_resting and intent.cancel_requested_at is not None:
        order_cancel(intent, deps=deps)
    elif intent.is_resting:
        orders_sync([intent], deps=deps)
