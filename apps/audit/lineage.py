"""Which history of the database this is: a restore and a failover begin another one, and say so nowhere else."""

from django.db import connection

_CURRENT = """
    SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system())::pg_catalog.text || '/'
           || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)
"""


def current() -> str:
    """PostgreSQL's system identifier and timeline. A restore to a point in time and a failover give another timeline, a
    dump that is read into another cluster another identifier (https://www.postgresql.org/docs/current/continuous-archiving.html).
    """
    with connection.cursor() as cursor:
        cursor.execute(_CURRENT)
        lineage: str = cursor.fetchone()[0]
    return lineage
