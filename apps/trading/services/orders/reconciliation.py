"""Looks after orders that no tick looks after: of unknown outcome, of workers that died, of runs that have ended."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from apps.core.context import message_context
from apps.core.errors import PlatformError
from apps.trading.errors import LeaseLost
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun
from apps.trading.selectors import runs_to_reconcile
from apps.trading.services.context.dependencies import Desk, Outside
from apps.trading.services.context.live import LIVE
from apps.trading.services.context.run_lease import run_lease
from apps.trading.services.orders.lifecycle import intent_poll_at, intents_recover
from apps.trading.services.orders.placement import order_cancel, orders_sync
from apps.trading.services.orders.unknown_outcome import intent_resolve

log = structlog.get_logger(__name__)

# An exchange or a key that does not work is not asked again at once.
PAUSE_AFTER_TROUBLE = timedelta(seconds=5)
PAUSE_AFTER_REFUSAL = timedelta(seconds=60)


def orders_reconcile(*, outside: Outside = LIVE, after_each: Callable[[], None] | None = None) -> int:
    """One round over all runs that need it. How many orders were looked at. Failures of one run leave the others be."""
    looked_at = 0
    for run in runs_to_reconcile(now=outside.clock()):
        looked_at += run_reconcile(run, outside=outside)
        if after_each is not None:
            after_each()
    return looked_at


def run_reconcile(run: BotRun, *, outside: Outside = LIVE) -> int:
    """Resolves and books the run's orders that are due. None while another worker is at the run."""
    with (
        message_context(correlation_id=run.correlation_id, causation_id=run.started_event_id),
        run_lease(run_id=run.id, now=outside.clock()) as lease,
    ):
        if lease is None:
            return 0
        intents_recover(lease=lease, now=outside.clock())
        due = _due(run, now=outside.clock())
        try:
            desk = outside.desk(run) if due else None
            for intent in due:
                assert desk is not None
                lease.renew(now=desk.clock())
                _look_after(intent, desk)
        except LeaseLost as error:
            log.info("reconciliation_given_up", run_id=str(run.id), reason=error.message)
        except PlatformError as error:
            pause = PAUSE_AFTER_TROUBLE if error.retryable else PAUSE_AFTER_REFUSAL
            log.warning("reconciliation_delayed", run_id=str(run.id), code=error.code, reason=error.message)
            for intent in due:
                intent_poll_at(intent_id=intent.id, next_check_at=outside.clock() + pause)
        return len(due)


def _due(run: BotRun, *, now: datetime) -> list[OrderIntent]:
    return list(
        OrderIntent.objects.filter(run=run, state__in=ACTIVE_STATES, next_check_at__lte=now).order_by("planned_at")
    )


def _look_after(intent: OrderIntent, desk: Desk) -> None:
    if intent.state == IntentState.UNKNOWN:
        intent_resolve(intent, desk=desk)
    elif intent.is_resting and intent.cancel_requested_at is not None:
        order_cancel(intent, desk=desk)
    elif intent.is_resting:
        orders_sync([intent], desk=desk)
