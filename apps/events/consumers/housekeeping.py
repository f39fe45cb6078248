"""Forgets what can never be delivered again, a little at a time."""

import time
from datetime import datetime, timedelta

from django.db import connection

from apps.messages.topics import RETENTION

# Kafka forgets an event after its retention; a margin, for what was dead-lettered or replayed late.
KEPT_FOR = RETENTION + timedelta(days=30)
SECONDS_BETWEEN_LOOKS = 3600.0
ROWS_AT_ONCE = 1000

_INBOX = """
DELETE FROM inbox WHERE (consumer, event_id) IN (
    SELECT consumer, event_id FROM inbox WHERE processed_at < %s ORDER BY processed_at LIMIT %s)
"""
_DEAD_LETTERS = """
DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE redriven_at < %s LIMIT %s)
"""


def forget(*, now: datetime) -> int:
    """Deletes inbox entries and redriven dead letters that are older than any redelivery; returns how many.

    At most a batch of each: call it again where it deleted something. Raises DatabaseError.
    """
    deleted = 0
    with connection.cursor() as cursor:
        for statement in (_INBOX, _DEAD_LETTERS):
            cursor.execute(statement, [now - KEPT_FOR, ROWS_AT_ONCE])
            deleted += cursor.rowcount
    return deleted


class Housekeeping:
    """Forgets once an hour, in steps that do not hold up the work."""

    def __init__(self) -> None:
        self._due_at = time.monotonic()

    def tidy(self, *, now: datetime) -> None:
        """Raises DatabaseError."""
        if time.monotonic() >= self._due_at:
            deleted = forget(now=now)
            self._due_at = time.monotonic() + (1.0 if deleted else SECONDS_BETWEEN_LOOKS)
