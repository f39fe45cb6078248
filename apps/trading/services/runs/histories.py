"""After a restore of the database no bot trades until its orders were compared with the exchange.

Only the exchange knows what was ordered in the time that the database lost. For each run that is live or has active
orders, the reconciler resolves the orders that the database knows and cancels open orders that carry the bot's code and
are not known. It ends the run where such an order was filled: the position is then not what the database says.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import connection
from django.db.models import Q

from apps.core.context import message_context
from apps.core.errors import PlatformError
from apps.events.store.lineage import CURRENT_SQL, LAST_RESTORE_SQL, last_restore, lineage_current, restore_read
from apps.exchange.types import ExchangeOrder
from apps.trading.errors import HistoryNotReconciled, LeaseLost
from apps.trading.ids import is_ours
from apps.trading.models.histories import ReconciledHistory
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import LIVE_RUNS, BotRun
from apps.trading.services.context.dependencies import Dependencies, ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.context.run_lease import RunLease, run_lease
from apps.trading.services.orders.lifecycle import intents_recover
from apps.trading.services.orders.placement import order_cancel, orders_sync
from apps.trading.services.orders.unknown_outcome import CLOCK_SKEW, LostTime, intent_resolve, orphans_cancel
from apps.trading.services.runs.events import run_fail

log = structlog.get_logger(__name__)

# Every tick asks: one statement.
_COMPARED = (
    f"SELECT ({CURRENT_SQL}), ({LAST_RESTORE_SQL}), lineage, restore_id "  # noqa: S608 (constants)  # nosec B608
    "FROM trading_reconciled_history WHERE id = 1"
)


@dataclass(frozen=True, slots=True)
class History:
    """The database's current history. `lost` is None where no restore to it was recorded."""

    lineage: str
    restore_id: UUID | None
    lost: LostTime | None


def history_current() -> History:
    now, last = lineage_current(), last_restore()
    lost = LostTime(last.restored_to, last.recorded_at) if last is not None and last.lineage == now else None
    return History(now, last.restore_id if last else None, lost)


def history_is_reconciled(*, now: datetime) -> bool:
    """Whether bots may trade. The first call on a new database records its history as reconciled."""
    with connection.cursor() as cursor:
        cursor.execute(_COMPARED)
        found = cursor.fetchone()
    if found is not None:
        lineage, restored, *reconciled = found
        restore_id = restore_read(restored).restore_id if restored is not None else None
        return (lineage, restore_id) == tuple(reconciled)
    current = history_current()
    row, _ = ReconciledHistory.objects.get_or_create(
        id=1, defaults={"lineage": current.lineage, "restore_id": current.restore_id, "reconciled_at": now}
    )
    return (row.lineage, row.restore_id) == (current.lineage, current.restore_id)


def refuse_unreconciled(*, now: datetime) -> None:
    """Raises HistoryNotReconciled."""
    if not history_is_reconciled(now=now):
        raise HistoryNotReconciled(
            "The database was restored or taken over by another server. Bots go on once their orders were compared "
            "with the exchange."
        )


def history_reconcile(*, context: ExecutionContext = LIVE_CONTEXT) -> str:
    """Compares every run's orders with the exchange, where that has not been done since a restore.

    Returns why bots still wait, as a sentence for operators; empty where they may trade. Call it again until then.
    """
    if history_is_reconciled(now=context.clock()):
        return ""
    current = history_current()
    if current.lost is None:
        return (
            "The database was restored or taken over by another server: bots wait. Record to which moment: "
            "`manage.py record_restore`."
        )
    waiting = [str(run.bot_id) for run in _runs() if not _compare(run, current.lost, context)]
    if waiting:
        return f"After a restore, bots wait until these were compared with the exchange: {', '.join(waiting[:5])}."
    _mark_reconciled(current, now=context.clock())
    return ""


def _mark_reconciled(current: History, *, now: datetime) -> None:
    ReconciledHistory.objects.filter(id=1).update(
        lineage=current.lineage, restore_id=current.restore_id, reconciled_at=now
    )
    log.warning("history_reconciled", lineage=current.lineage, restore_id=str(current.restore_id))


def _runs() -> list[BotRun]:
    wanted = Q(state__in=LIVE_RUNS) | Q(intents__state__in=ACTIVE_STATES)
    return list(BotRun.objects.filter(wanted).distinct().order_by("started_at"))


def _compare(run: BotRun, lost: LostTime, context: ExecutionContext) -> bool:
    """Whether this run is compared. A retryable failure leaves it for the next round."""
    with (
        message_context(correlation_id=run.correlation_id, causation_id=run.started_event_id),
        run_lease(run_id=run.id, now=context.clock()) as lease,
    ):
        if lease is None:
            return False
        try:
            _compare_orders(run, lease, context.deps(run), lost)
        except LeaseLost:
            return False
        except PlatformError as error:
            log.warning("comparison_failed", run_id=str(run.id), code=error.code, reason=error.message)
            if error.retryable:
                return False
            run_fail(lease=lease, code=error.code, message=error.message, now=context.clock())
    return True


def _compare_orders(run: BotRun, lease: RunLease, deps: Dependencies, lost: LostTime) -> None:
    intents_recover(lease=lease, now=deps.clock())
    orphans_cancel(bot_id=run.bot_id, deps=deps, lost=lost)
    for intent in OrderIntent.objects.filter(run=run, state__in=ACTIVE_STATES).order_by("planned_at"):
        lease.renew(now=deps.clock())
        if intent.state == IntentState.UNKNOWN:
            intent_resolve(intent, deps=deps)
        elif intent.is_resting:
            for each in orders_sync([intent], deps=deps):
                if each.is_resting and each.cancel_requested_at is not None:
                    order_cancel(each, deps=deps)
    # After the cancels: orders that were filled before them are among the closed orders.
    filled = [order for order in _unknown_orders(run, deps, lost.since) if order.executed_volume]
    if filled:
        names = ", ".join(order.exchange_order_id for order in filled[:10])
        message = (
            f"Orders of the time that the database lost were filled: {names}. The bot's position is not what the "
            "platform knows. Settle it on the exchange, then start a new bot."
        )
        run_fail(lease=lease, code="orders_lost_in_restore", message=message, now=deps.clock())


def _unknown_orders(run: BotRun, deps: Dependencies, restored_to: datetime) -> list[ExchangeOrder]:
    ended = deps.exchange.closed_orders(start=restored_to - CLOCK_SKEW)
    marked = {
        order.client_order_id or "": order for order in ended if is_ours(order.client_order_id or "", bot_id=run.bot_id)
    }
    known = set(OrderIntent.objects.filter(cl_ord_id__in=list(marked)).values_list("cl_ord_id", flat=True))
    return [order for client_order_id, order in marked.items() if client_order_id not in known]
