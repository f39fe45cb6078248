"""Deletes expired inbox entries and redriven dead letters, in small batches."""

from datetime import datetime, timedelta

from django.db import connection

from apps.messages.topics import RETENTION

# Kafka cannot redeliver an event after its retention. The margin covers late dead letters and replays.
KEPT_FOR = RETENTION + timedelta(days=30)
BATCH_ROWS = 1000

_INBOX = """
DELETE FROM inbox WHERE (consumer, event_id) IN (
    SELECT consumer, event_id FROM inbox WHERE processed_at < %s ORDER BY processed_at LIMIT %s)
"""
_DEAD_LETTERS = """
DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE redriven_at < %s LIMIT %s)
"""


def delete_expired(*, now: datetime) -> int:
    """Deletes inbox entries and redriven dead letters that are older than any possible redelivery.

    Deletes at most one batch of each and returns the number of rows: call it again if that is not 0. Raises
    DatabaseError.
    """
    deleted = 0
    with connection.cursor() as cursor:
        for statement in (_INBOX, _DEAD_LETTERS):
            cursor.execute(statement, [now - KEPT_FOR, BATCH_ROWS])
            deleted += cursor.rowcount
    return deleted
