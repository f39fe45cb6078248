"""The checkpointer's backlog, for its progress watch. It is measured by the leaves in the database, not by the
checkpointer's own state."""

from django.db import connection

from apps.audit.checkpoints import OVERLAP
from apps.events.process.progress import Backlog

MOST = 10_000

# Looks back from the last leaf as far as the checkpointer does. An event is settled once no transaction is open that
# could still add an older one.
_PENDING = """
WITH last AS (SELECT seal_no, recorded_at FROM audit.audit_leaf ORDER BY seal_no DESC LIMIT 1),
pending AS (
    SELECT e.recorded_at FROM events.event e
     WHERE e.recorded_at > coalesce((SELECT recorded_at FROM last) - %(overlap)s * interval '1 second', '-infinity')
       AND e.recorded_at <= coalesce((SELECT min(xact_start) FROM pg_stat_activity
                                       WHERE datname = current_database() AND backend_xid IS NOT NULL
                                         AND pid <> pg_backend_pid()), clock_timestamp())
       AND NOT EXISTS (SELECT FROM audit.audit_leaf l WHERE l.event_id = e.event_id)
     ORDER BY e.recorded_at LIMIT %(most)s)
SELECT count(*), (SELECT seal_no FROM last), extract(epoch FROM clock_timestamp() - min(recorded_at))::bigint
  FROM pending
"""


def checkpointer_backlog() -> Backlog:
    """The number of settled events that are not in the tree, 10 000 at most. Its progress mark is the last leaf index.

    Raises DatabaseError.
    """
    with connection.cursor() as cursor:
        cursor.execute(_PENDING, {"overlap": OVERLAP.total_seconds(), "most": MOST})
        count, last_leaf, age_seconds = cursor.fetchone()
    return Backlog(count, last_leaf, f"The oldest is {age_seconds} s old: see the checkpointer's log.")
