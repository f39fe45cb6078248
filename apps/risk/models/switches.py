from uuid import UUID

from django.db import models


class BotSwitch(models.Model):
    """Orders the starts and stops of a bot. Both services write it, each under the row's lock.

    `stop_requested_at` is when the latest stop was requested: a run that was requested at or before it sends no new
    order, and a start requested at or before it is dropped, however late it arrives. A bot with `deleted_at` neither
    starts nor trades again.
    """

    bot_id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True)
    stop_requested_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "risk_bot_switch"
        verbose_name_plural = "bot switches"
