"""Exits that are due: decided, and not carried out yet."""

from django.db import models
from django.db.models import Q

from apps.core.money import money_field
from apps.trading.models.runs import BotRun


class DueExit(models.Model):
    """A sale that the run's strategy decided and that is not done. At most one for each run; it ends with the run.

    `base_volume` is what is to be sold in all its attempts together; None means everything that the bot holds. Every
    attempt is an order intent of the same `decision_id`. `attempts` counts those begun, and those that a rule refused.
    `updated_at` is when `next_attempt_at` was set: in the future, it was set before the clock was set back.
    """

    run = models.OneToOneField(BotRun, on_delete=models.CASCADE, primary_key=True, related_name="due_exit")
    decision_id = models.CharField(max_length=32)
    reason = models.CharField(max_length=200, blank=True)
    candle_at = models.DateTimeField()
    base_volume = money_field(null=True)
    attempts = models.PositiveIntegerField(default=0)
    decided_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "trading_due_exit"
        constraints = [
            models.CheckConstraint(
                condition=Q(base_volume=None) | Q(base_volume__gt=0), name="trading_due_exit_sells_something"
            ),
        ]
