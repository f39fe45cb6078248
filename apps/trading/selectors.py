"""Reads of runs and their orders."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Min, Q, QuerySet

from apps.core.due import due
from apps.core.terms import Mode
from apps.risk.models.accounts import Account
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import LIVE_RUNS, BotRun, RunState

# Ticks update the orders of running runs; orders overdue for this long are left to the reconciler.
OVERDUE_AFTER = timedelta(seconds=30)
# No order is left alone for longer than this between two looks.
LOOK_AT_MOST_AFTER = timedelta(minutes=2)
# No account's balances are left alone for longer than this.
COMPARE_AT_MOST_AFTER = timedelta(hours=1)


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


def mode_is_at_work(mode: Mode) -> bool:
    """Whether any run of this mode goes on."""
    return BotRun.objects.filter(mode=mode, state=RunState.RUNNING).exists()


def latest_run_of_key(credential_id: UUID) -> BotRun | None:
    """The run of the key that began last, ended or not."""
    return BotRun.objects.filter(credential_id=credential_id).order_by("-started_at").first()


def accounts_to_compare(*, now: datetime) -> list[UUID]:
    """Credentials whose balances are due to be compared, the one that has waited longest first.

    One whose bots run and that has no sub-ledger yet is due.
    """
    waiting = list(_accounts_due(now=now).order_by("compare_at").values_list("credential_id", flat=True))
    at_work = BotRun.objects.filter(state__in=LIVE_RUNS).values_list("credential_id", flat=True).distinct()
    known = Account.objects.filter(credential_id__in=at_work).values_list("credential_id", flat=True)
    return waiting + sorted(set(at_work) - set(known))


def account_is_to_be_compared(credential_id: UUID, *, now: datetime) -> bool:
    """Whether the account's balances are due to be compared."""
    known = Account.objects.filter(credential_id=credential_id)
    return not known.exists() or _accounts_due(now=now).filter(credential_id=credential_id).exists()


def _accounts_due(*, now: datetime) -> QuerySet[Account]:
    return Account.objects.filter(due("compare_at", now=now, at_most=COMPARE_AT_MOST_AFTER))
