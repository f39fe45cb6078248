"""Deletion of expired rows in bounded batches, so that it holds few locks and never holds up a process for long."""

from typing import Any

from django.db.models import QuerySet

BATCH_ROWS = 1000


def delete_batch(rows: QuerySet[Any]) -> int:
    """Deletes at most BATCH_ROWS of the rows. Returns how many: call it again until that is 0."""
    batch = rows.order_by().values("pk")[:BATCH_ROWS]
    deleted: int = rows.model._default_manager.filter(pk__in=batch).delete()[0]
    return deleted
