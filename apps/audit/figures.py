"""What the checkpointer tells of PostgreSQL: its role may see other sessions (pg_read_all_stats)."""

from django.db import connection

from apps.core.metrics import gauge

_HERE = ("checkpointer",)

connections = gauge(
    "postgresql_connections", "Sessions in the platform's database, by login role.", ["role"], processes=_HERE
)
most_connections = gauge(
    "postgresql_max_connections", "How many sessions PostgreSQL takes, of all databases.", processes=_HERE
)
oldest_transaction = gauge(
    "postgresql_oldest_transaction_age_seconds", "How long the oldest open transaction has been open.", processes=_HERE
)
database_size = gauge("postgresql_database_size_bytes", "Size of the platform's database.", processes=_HERE)

_SESSIONS = """
SELECT coalesce(usename, ''), count(*), coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)
  FROM pg_catalog.pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
 GROUP BY usename
"""
_SERVER = """
SELECT current_setting('max_connections')::int, pg_catalog.pg_database_size(current_database())
"""


def read_postgresql() -> None:
    """Sets the gauges. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(_SESSIONS)
        rows = cursor.fetchall()
        cursor.execute(_SERVER)
        most, size = cursor.fetchone()
    connections.clear()
    for role, count, _ in rows:
        connections.labels(role).set(count)
    oldest_transaction.set(max((float(age) for *_, age in rows), default=0.0))
    most_connections.set(most)
    database_size.set(size)
