"""Moves whole months of the event store into compressed files that replay and verification still read."""

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from apps.audit.files import file_digest
from apps.audit.models import ArchivedPartition
from apps.audit.records import COLUMNS
from apps.core.errors import PlatformError


class NotYetSealed(PlatformError):
    """A month with unsealed events cannot leave the database."""

    code = "not_yet_sealed"
    http_status = 409


@dataclass(frozen=True)
class Partition:
    name: str
    starts_at: datetime
    ends_at: datetime


def archive_path(folder: Path | None, file_name: str) -> Path | None:
    return folder / file_name if folder else None


def partitions_before(moment: datetime) -> list[Partition]:
    """The months of the event store that ended before `moment`, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'events.event'::regclass AND c.relname ~ '^event_[0-9]{4}_[0-9]{2}$' ORDER BY 1"
        )
        names = [name for (name,) in cursor.fetchall()]
    found = [_partition(name) for name in names]
    return [partition for partition in found if partition.ends_at <= moment]


def archive(partition: Partition, *, folder: Path, now: datetime) -> ArchivedPartition:
    """Writes a month to `<folder>/<name>.copy.gz`, then takes it out of the database in one transaction.

    Raises NotYetSealed. A crash before the commit leaves the month in the database and a file that the next run
    overwrites.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{partition.name}.copy.gz"
    partial = path.with_suffix(".partial")
    with transaction.atomic(), connection.cursor() as cursor:
        # Nobody may add to the month between the copy and the detaching.
        cursor.execute(f"LOCK TABLE events.{partition.name} IN SHARE MODE")
        _refuse_unsealed(cursor, partition)
        with gzip.open(partial, "wb") as file:
            cursor.cursor.copy_expert(
                f"COPY (SELECT {COLUMNS} FROM events.{partition.name} "  # noqa: S608
                "ORDER BY aggregate_type, aggregate_id, aggregate_seq) TO STDOUT WITH (NULL '')",
                file,
            )
        cursor.execute(f"SELECT count(*) FROM events.{partition.name}")  # noqa: S608
        row = ArchivedPartition.objects.create(
            name=partition.name,
            starts_at=partition.starts_at,
            ends_at=partition.ends_at,
            events=cursor.fetchone()[0],
            file_name=path.name,
            sha256=file_digest(partial),
            archived_at=now,
        )
        partial.replace(path)
        cursor.execute(f"ALTER TABLE events.event DETACH PARTITION events.{partition.name}")
        cursor.execute(f"DROP TABLE events.{partition.name}")
    return row


def _refuse_unsealed(cursor: CursorWrapper, partition: Partition) -> None:
    cursor.execute(
        f"SELECT count(*) FROM events.{partition.name} e WHERE NOT EXISTS "  # noqa: S608
        "(SELECT 1 FROM audit.audit_leaf l WHERE l.event_id = e.event_id)"
    )
    unsealed = cursor.fetchone()[0]
    if unsealed:
        raise NotYetSealed(f"{partition.name} has {unsealed} events that are not sealed yet. Let the sealer catch up.")


def _partition(name: str) -> Partition:
    year, month = int(name[6:10]), int(name[11:13])
    starts_at = datetime(year, month, 1, tzinfo=UTC)
    return Partition(name, starts_at, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC))
