"""The switch for live trading at run time."""

from django.db import models
from django.db.models import Q

THE_ONE = 1


class LiveSwitch(models.Model):
    """One row: whether the operators let live trading happen now. Without the row it is off.

    MUCKARD_LIVE_TRADING must be on as well. Every live order reads this row in the transaction that marks it as being
    sent, under the platform's lock (`apps/risk/services/locks.py`). The events `risk.live_trading.switched` are its
    history.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=THE_ONE, editable=False)
    is_on = models.BooleanField(default=False)
    reason = models.CharField(max_length=500)
    changed_by = models.CharField(max_length=200)
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "risk_live_switch"
        verbose_name = "live trading switch"
        verbose_name_plural = "live trading switch"
        constraints = [
            models.CheckConstraint(condition=Q(id=THE_ONE), name="risk_live_switch_one_row"),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(changed_by=""), name="risk_live_switch_has_a_reason"),
        ]

    def __str__(self) -> str:
        return "on" if self.is_on else "off"
