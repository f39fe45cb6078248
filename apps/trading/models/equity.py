"""The profit of a bot at two moments: as the day began, and at its highest."""

from uuid import UUID

from django.db import models

from apps.core.money import money_field
from apps.trading.models.orders import ZERO


class ProfitMark(models.Model):
    """Marks of a bot's profit on one account and pair, in the quote asset, with the position at its price then.

    `day_profit` is the profit when the bot first decided on `day` (UTC), `peak_profit` the highest so far, at least 0.
    """

    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    credential_id: "models.UUIDField[UUID, UUID]" = models.UUIDField()
    pair = models.CharField(max_length=20)
    day = models.DateField()
    day_profit = money_field()
    peak_profit = money_field(default=ZERO)

    class Meta:
        db_table = "trading_profit_mark"
        constraints = [
            models.UniqueConstraint(fields=["bot_id", "credential_id", "pair"], name="trading_profit_mark_once"),
        ]
