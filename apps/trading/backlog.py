"""Backlog of the scheduler and of the reconciler, for their progress watches."""

from datetime import datetime

from django.db.models import Q

from apps.core.due import CLOCKS_DIFFER
from apps.events.process.progress import Backlog
from apps.trading.models.runs import BotRun, RunState
from apps.trading.selectors import orders_to_reconcile


def ticks_backlog(*, now: datetime) -> Backlog:
    """Runs whose tick is due. Taking a run sets its next tick, so the oldest due one changes with progress."""
    taken_in_the_future = Q(ticked_at__gt=now + CLOCKS_DIFFER)
    due = BotRun.objects.filter(Q(next_tick_at__lte=now) | taken_in_the_future, state=RunState.RUNNING)
    oldest = due.order_by("next_tick_at").values_list("id", "next_tick_at").first()
    if oldest is None:
        return Backlog()
    run_id, since = oldest
    seconds = int((now - since).total_seconds())
    return Backlog(
        due.count(),
        oldest,
        f"Run {run_id} has been due for {seconds} s: another session of PostgreSQL may hold its row locked.",
    )


def orders_backlog(*, now: datetime) -> Backlog:
    """Orders that the reconciler is due to look at. Each look sets the next one or ends the order."""
    due = orders_to_reconcile(now=now)
    oldest = due.order_by("next_check_at").values_list("cl_ord_id", "next_check_at").first()
    if oldest is None:
        return Backlog()
    order_id, since = oldest
    assert since is not None  # orders without a time are not due
    seconds = int((now - since).total_seconds())
    return Backlog(
        due.count(),
        oldest,
        f"Order {order_id} has been due for {seconds} s: see the reconciler's log, and whether a worker keeps the "
        "lease of its run.",
    )
