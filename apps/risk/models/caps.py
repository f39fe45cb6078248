"""Caps on live trading."""

from uuid import UUID

from django.db import models
from django.db.models import Q

from apps.core.money import money_field


class Cap(models.Model):
    """A user's own caps in one quote asset: of all live bots, or of one where `bot_id` is given.

    Where there is no row the installation's defaults hold. A bot's caps narrow the user's, they do not widen them.
    """

    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    bot_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    asset = models.CharField(max_length=20)
    largest_order = money_field()
    largest_position = money_field()
    largest_budget = money_field()
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "risk_cap"
        constraints = [
            models.UniqueConstraint(
                fields=["user_id", "bot_id", "asset"], nulls_distinct=False, name="risk_cap_one_a_subject"
            ),
            models.CheckConstraint(
                condition=Q(largest_order__gte=0, largest_position__gte=0, largest_budget__gte=0),
                name="risk_cap_not_negative",
            ),
        ]


class LiveBeginning(models.Model):
    """When a user's first live bot began to run: caps are smaller for seven days from then on. It never changes."""

    user_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    began_at = models.DateTimeField()

    class Meta:
        db_table = "risk_live_beginning"
