"""What waits for the sealer, as the watch over its progress wants it: judged by the leaves, not by its own notes."""

from django.db import connection

from apps.audit.checkpoints import OVERLAP
from apps.events.process.progress import Backlog

MOST = 10_000

# As far before the last leaf as the sealer looks. Settled: no transaction that might still add an older event is open.
_UNSEALED = """
WITH last AS (SELECT seal_no, recorded_at FROM audit.audit_leaf ORDER BY seal_no DESC LIMIT 1),
unsealed AS (
    SELECT e.recorded_at FROM events.event e
     WHERE e.recorded_at > coalesce((SELECT recorded_at FROM last) - %(overlap)s * interval '1 second', '-infinity')
       AND e.recorded_at <= coalesce((SELECT min(xact_start) FROM pg_stat_activity
                                       WHERE datname = current_database() AND backend_xid IS NOT NULL
                                         AND pid <> pg_backend_pid()), clock_timestamp())
       AND NOT EXISTS (SELECT FROM audit.audit_leaf l WHERE l.event_id = e.event_id)
     ORDER BY e.recorded_at LIMIT %(most)s)
SELECT count(*), (SELECT seal_no FROM last), extract(epoch FROM clock_timestamp() - min(recorded_at))::bigint
  FROM unsealed
"""


def sealer_backlog() -> Backlog:
    """Settled events that are not sealed, 10 000 at most. Each checkpoint brings a higher last leaf.

    Raises DatabaseError.
    """
    with connection.cursor() as cursor:
        cursor.execute(_UNSEALED, {"overlap": OVERLAP.total_seconds(), "most": MOST})
        count, last_leaf, age_seconds = cursor.fetchone()
    return Backlog(count, last_leaf, f"The oldest is {age_seconds} s old: see the sealer's log.")
