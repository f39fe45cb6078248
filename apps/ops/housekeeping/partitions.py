"""Months of the event store, made ahead of time."""

from datetime import datetime

from django.db import connection

from apps.ops.housekeeping.task import HousekeepingProblem

_MONTHS = """
SELECT 'event_' || to_char(month, 'YYYY_MM')
  FROM generate_series(0, 1) AS i,
       LATERAL (SELECT date_trunc('month', %s AT TIME ZONE 'UTC') + make_interval(months => i) AS month) AS months
 WHERE to_regclass('events.event_' || to_char(month, 'YYYY_MM')) IS NULL
"""


def partitions_ensure(now: datetime) -> int:
    """Makes this month's partition and those of the next three. Returns how many were made.

    Raises HousekeepingProblem where this month or the next has none after that: publishers do not wait long for the
    lock that it takes, so a long transaction can keep it from being made.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT events.ensure_partitions()")
        made = int(cursor.fetchone()[0])
        cursor.execute(_MONTHS, [now])
        missing = [name for (name,) in cursor.fetchall()]
    if missing:
        raise HousekeepingProblem(
            f"The event store has no partition {', '.join(missing)}: something has been reading it for longer than "
            "the lock is waited for. Events go to the default partition meanwhile; end the long transaction."
        )
    return made
