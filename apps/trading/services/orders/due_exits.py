"""Arithmetic of an exit that is due: what its attempts have sold, and what is left to sell."""

from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from apps.trading.models.exits import DueExit
from apps.trading.models.orders import OrderIntent


def exit_left(due: DueExit) -> Decimal | None:
    """The base volume that is still to be sold; None means everything that the bot holds."""
    if due.base_volume is None:
        return None
    sold = OrderIntent.objects.filter(decision_id=due.decision_id).aggregate(sold=Sum("filled_volume"))["sold"]
    left: Decimal = due.base_volume - (sold or Decimal(0))
    return left


def exit_covers(*, run_id: UUID, decision_id: str, volume: Decimal) -> bool:
    """Whether the run's due exit has this decision and so much left to sell. The caller holds the run's lock."""
    due = DueExit.objects.filter(run_id=run_id, decision_id=decision_id).first()
    if due is None:
        return False
    left = exit_left(due)
    return left is None or volume <= left
