"""Reads of runs and their orders."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Min, Q, QuerySet

from apps.core.due import due
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState

# Ticks update the orders of running runs; orders overdue for this long are left to the reconciler.
OVERDUE_AFTER = timedelta(seconds=30)
# No order is left alone for longer than this between two looks.
LOOK_AT_MOST_AFTER = timedelta(minutes=2)


def look_is_due(*, now: datetime) -> Q:
    """The orders whose next look is due."""
    return due("next_check_at", now=now, at_most=LOOK_AT_MOST_AFTER)


def orders_left(*, bot_id: UUID) -> list[str]:
    """Client order ids of the bot's active orders, oldest first."""
    left = OrderIntent.objects.filter(bot_id=bot_id, state__in=ACTIVE_STATES)
    return list(left.order_by("planned_at").values_list("cl_ord_id", flat=True))


def orders_to_reconcile(*, now: datetime) -> QuerySet[OrderIntent]:
    """Due orders that no tick updates: unknown ones, those of ended runs, and overdue ones."""
    active = OrderIntent.objects.filter(look_is_due(now=now), state__in=ACTIVE_STATES)
    return active.filter(
        Q(state=IntentState.UNKNOWN) | ~Q(run__state=RunState.RUNNING) | Q(next_check_at__lte=now - OVERDUE_AFTER)
    )


def keys_to_reconcile(*, now: datetime) -> list[UUID]:
    """Credentials with an order to reconcile, the one that has waited longest first."""
    waiting = orders_to_reconcile(now=now).values("credential_id").annotate(since=Min("next_check_at"))
    return [row["credential_id"] for row in waiting.order_by("since", "credential_id")]


def runs_to_reconcile(*, credential_id: UUID, now: datetime, limit: int = 100) -> list[BotRun]:
    """Runs with an order of this credential to reconcile."""
    waiting = orders_to_reconcile(now=now).filter(credential_id=credential_id)
    run_ids = waiting.order_by("run_id").values_list("run_id", flat=True).distinct()[:limit]
    return list(BotRun.objects.filter(id__in=list(run_ids)))
