"""Lineage of the database: it changes with a restore and with a failover, which leave no other trace in the tables."""

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

# Scalar queries, also for statements of others that read them together with what they compare.
CURRENT_SQL = """
    SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system())::pg_catalog.text || '/'
           || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)
"""

LAST_RESTORE_SQL = "SELECT payload FROM event WHERE event_type = 'audit.restored' ORDER BY recorded_at DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Restore:
    """A recorded restore and the lineage that started with it."""

    restore_id: UUID
    lineage: str
    restored_to: datetime
    recorded_at: datetime


def lineage_current() -> str:
    """PostgreSQL's system identifier and timeline.

    A point-in-time restore and a failover start a new timeline; a dump is loaded into a cluster with another identifier
    (https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES).
    """
    with connection.cursor() as cursor:
        cursor.execute(CURRENT_SQL)
        lineage: str = cursor.fetchone()[0]
    return lineage


def last_restore() -> Restore | None:
    """The latest recorded restore."""
    with connection.cursor() as cursor:
        cursor.execute(LAST_RESTORE_SQL)
        row = cursor.fetchone()
    return None if row is None else restore_read(row[0])


def restore_read(payload: bytes | memoryview) -> Restore:
    """The restore that an `audit.restored` event tells."""
    event = json.loads(bytes(payload))
    return Restore(
        UUID(event["restore_id"]),
        event["lineage"],
        datetime.fromisoformat(event["restored_to"]),
        datetime.fromisoformat(event["recorded_at"]),
    )
