"""Archiving: moves whole months of the event store into compressed files. `read_archive` reads them."""

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg2.errors import LockNotAvailable

from apps.audit.event_row import COLUMNS
from apps.audit.files import create_private, file_digest, sync_to_disk
from apps.audit.models import ArchivedPartition
from apps.core.errors import PlatformError

_ARCHIVE_LOCK = 7_262_016


class NotYetCheckpointed(PlatformError):
    """A month with events that are under no checkpoint cannot leave the database."""

    code = "not_yet_checkpointed"
    http_status = 409


class StillToBeSent(PlatformError):
    """A month with events in the outbox cannot leave the database: relay and dispatcher could never send them."""

    code = "still_to_be_sent"
    http_status = 409


class StoreInUse(PlatformError):
    """Another process reads or archives the event store. The month stays in the database until that has ended."""

    code = "store_in_use"
    http_status = 409
    retryable = True


class ReadBackMismatch(PlatformError):
    """The archive file does not read back as it was written. The month stays in the database."""

    code = "archive_read_back_mismatch"
    http_status = 500


class NotTheOwner(PlatformError):
    """Only the owner of the event store may archive a month."""

    code = "not_the_owner"
    http_status = 403


@dataclass(frozen=True)
class Partition:
    """One month of the event store: from `starts_at` up to, not including, `ends_at` (UTC)."""

    name: str
    starts_at: datetime
    ends_at: datetime


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


def write_archive(partition: Partition, *, folder: Path, now: datetime) -> ArchivedPartition:
    """Writes a month to `<folder>/<name>.copy.gz`, then drops its partition, in one transaction.

    The partition is dropped after the file has been synced to the disk and read back. A crash before the commit leaves
    the month in the database and a file that the next run overwrites. Raises NotTheOwner, NotYetCheckpointed,
    StillToBeSent, ReadBackMismatch, StoreInUse.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            return _write_archive(cursor, partition, folder, now)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise StoreInUse(
            f"Somebody reads the event store now, such as a verification or an export. {partition.name} stays in the "
            "database: archive again when that has ended."
        ) from None


def _write_archive(cursor: CursorWrapper, partition: Partition, folder: Path, now: datetime) -> ArchivedPartition:
    _refuse_other_roles(cursor)
    _refuse_concurrent_run(cursor, partition)
    # Writing to the disk may take longer than a transaction may normally be idle.
    cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    # No event may be added to the month between the copy and the detaching.
    cursor.execute(f"LOCK TABLE events.{partition.name} IN SHARE MODE")
    _refuse_pending(cursor, partition)
    _refuse_unsent(cursor, partition)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{partition.name}.copy.gz"
    partial = path.with_suffix(".partial")
    # A file that an interrupted run left is removed, not overwritten: its mode may differ.
    partial.unlink(missing_ok=True)
    digest = _write(cursor, partition, partial)
    cursor.execute(f"SELECT count(*) FROM events.{partition.name}")  # noqa: S608  # nosec B608
    (events,) = cursor.fetchone()
    if _read_back(partial) != (events, digest):
        raise ReadBackMismatch(
            f"{partial} does not read as it was written. {partition.name} stays in the database: look after the disk, "
            "or name another folder, and archive again."
        )
    row = ArchivedPartition.objects.create(
        name=partition.name,
        starts_at=partition.starts_at,
        ends_at=partition.ends_at,
        events=events,
        file_name=path.name,
        sha256=digest,
        archived_at=now,
    )
    partial.replace(path)
    sync_to_disk(folder)
    # Publishers queue behind this lock request for as long as it waits for readers.
    cursor.execute("SET LOCAL lock_timeout = '2s'")
    cursor.execute(f"ALTER TABLE events.event DETACH PARTITION events.{partition.name}")
    cursor.execute(f"DROP TABLE events.{partition.name}")
    return row


class _HashingWriter:
    """Writes to a file and computes the SHA-256 of the content."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _write(cursor: CursorWrapper, partition: Partition, path: Path) -> bytes:
    """Writes the month's rows and syncs them to the disk. Returns the SHA-256 of the file."""
    with os.fdopen(create_private(path), "wb") as file:
        hashing = _HashingWriter(file)
        with gzip.open(hashing, "wb") as lines:
            cursor.cursor.copy_expert(
                f"COPY (SELECT {COLUMNS} FROM events.{partition.name} "  # noqa: S608  # nosec B608
                'ORDER BY aggregate_type COLLATE "C", aggregate_id, aggregate_seq)'
                " TO STDOUT WITH (NULL '')",
                lines,
            )
        file.flush()
        os.fsync(file.fileno())
        # Drops the page cache, so that the read-back reads from the disk.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return hashing.sha256.digest()


def _read_back(path: Path) -> tuple[int, bytes]:
    """The number of events in the file, and its SHA-256. 0 and b"" if it cannot be read to its end."""
    try:
        with gzip.open(path, "rb") as lines:
            events = sum(1 for _ in lines)
    except (EOFError, OSError, zlib.error):
        return 0, b""
    return events, file_digest(path)


def _refuse_other_roles(cursor: CursorWrapper) -> None:
    cursor.execute(
        "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'events.event'::regclass"
    )
    if not cursor.fetchone()[0]:
        raise NotTheOwner("Only the database's owner archives months: run the command with MUCKARD_DB_ROLE=owner.")


def _refuse_concurrent_run(cursor: CursorWrapper, partition: Partition) -> None:
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_ARCHIVE_LOCK])
    if not cursor.fetchone()[0]:
        raise StoreInUse("Another archive_events is at work. Archive again when that one has ended.")
    cursor.execute("SELECT to_regclass(%s) IS NULL", [f"events.{partition.name}"])
    if cursor.fetchone()[0]:
        raise StoreInUse(f"{partition.name} has left the database meanwhile: see what another archive_events said.")


def _refuse_pending(cursor: CursorWrapper, partition: Partition) -> None:
    cursor.execute(
        f"SELECT count(*) FROM events.{partition.name} e WHERE NOT EXISTS "  # noqa: S608  # nosec B608
        "(SELECT 1 FROM audit.audit_leaf l WHERE l.event_id = e.event_id)"
    )
    pending = cursor.fetchone()[0]
    if pending:
        raise NotYetCheckpointed(
            f"{partition.name} has {pending} events that are under no checkpoint yet. Let the checkpointer catch up."
        )


def _refuse_unsent(cursor: CursorWrapper, partition: Partition) -> None:
    cursor.execute(
        f"SELECT count(DISTINCT e.event_id) FROM events.outbox o "  # noqa: S608  # nosec B608
        f"JOIN events.{partition.name} e ON e.event_id = o.event_id AND e.recorded_at = o.recorded_at"
    )
    unsent = cursor.fetchone()[0]
    if unsent:
        raise StillToBeSent(
            f"{partition.name} has {unsent} events that were not delivered yet. See what waits with `manage.py "
            "parked_keys list`, release it, and archive again once relay and dispatcher have sent it."
        )


def _partition(name: str) -> Partition:
    year, month = int(name[6:10]), int(name[11:13])
    starts_at = datetime(year, month, 1, tzinfo=UTC)
    return Partition(name, starts_at, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC))
