"""Reads archived months: files of the event rows that the live table had, in the order of each aggregate."""

import gzip
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from apps.audit.files import file_digest
from apps.audit.models import ArchivedPartition
from apps.core.errors import PlatformError


class ArchiveMissing(PlatformError):
    """The file of an archived month is not in the given folder."""

    code = "archive_missing"
    http_status = 404


class ArchiveChanged(PlatformError):
    """A month's file is not the one that was archived."""

    code = "archive_changed"
    http_status = 422


@contextmanager
def consistent_snapshot() -> Iterator[CursorWrapper]:
    """One read-only snapshot of the live table and the list of archived months. No month can be archived meanwhile."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("LOCK TABLE events.event IN ACCESS SHARE MODE")
        yield cursor


def months_since(recorded_since: datetime | None) -> list[ArchivedPartition]:
    """The archived months that can hold events recorded since that moment, oldest first; all months if it is None."""
    months = ArchivedPartition.objects.all()
    return list(months if recorded_since is None else months.filter(ends_at__gt=recorded_since))


def path_of(month: ArchivedPartition, folder: Path | None) -> Path:
    """Raises ArchiveMissing."""
    path = folder / month.file_name if folder else None
    if path is None or not path.is_file():
        raise ArchiveMissing(
            f"{month.name} is archived in {month.file_name}. Name its folder with --archive, or leave the month out "
            "with --since."
        )
    return path


def check_digests(months: Iterable[ArchivedPartition], folder: Path | None) -> None:
    """Compares each month's file with the SHA-256 that was stored when it was archived.

    Raises ArchiveMissing, ArchiveChanged.
    """
    for month in months:
        if file_digest(path_of(month, folder)) != bytes(month.sha256):
            raise ArchiveChanged(
                f"{month.file_name} is not the file that was archived. Bring it back from a copy; `manage.py "
                "audit_verify --archive FOLDER` says whether it is the right one."
            )


def read_rows(month: ArchivedPartition, folder: Path | None) -> Iterator[bytes]:
    """The month's event rows (`event_row.COLUMNS`). Raises ArchiveMissing."""
    with gzip.open(path_of(month, folder), "rb") as lines:
        yield from lines
