from uuid import UUID

from django.db import models


class ReconciledHistory(models.Model):
    """The history of the database in which bots may trade: one row.

    A restore or a failover begins another history. Orders and fills may be missing in it, so bots wait until the
    database was compared with the exchange.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    lineage = models.TextField()
    restore_id: "models.UUIDField[UUID | None, UUID | None]" = models.UUIDField(null=True)
    reconciled_at = models.DateTimeField()

    class Meta:
        db_table = "trading_reconciled_history"
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="trading_reconciled_history_one")]
