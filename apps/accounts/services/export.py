"""Export: everything that the platform holds of a person, in one archive, whole or not at all."""

import hashlib
import json
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import IO, Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import structlog
from django.db import transaction

from apps.accounts import other_services
from apps.accounts.errors import ExportBusy
from apps.accounts.personal_data import addresses_of
from apps.accounts.services.step_up import step_up_require
from apps.core.api.personal_data import row_json
from apps.core.identity.assurance import Assurance
from apps.core.ids import new_id
from apps.core.personal_data import personal_data_of
from apps.events.store.publish import publish
from apps.messages.user import UserDataExported

log = structlog.get_logger(__name__)

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
# Each takes a thread of the service for as long as it is made.
AT_ONCE = 2
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")

_turns = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True)
class Export:
    """A finished archive: a temporary file, to be read from its beginning, that is deleted when it is closed."""

    id: UUID
    file: IO[bytes]
    size_bytes: int
    made_at: datetime


def user_data_export(*, user_id: UUID, assurance: Assurance, now: datetime) -> Export:
    """Makes the archive on disk before anything of it is sent. Memory does not grow with the account.

    Not in a transaction: other services are asked. Raises StepUpRequired, ExportBusy, and DependencyUnavailable where a
    service does not answer to the end.
    """
    step_up_require(user_id=user_id, assurance=assurance, now=now)
    export_id = new_id()
    with _turn():
        file = tempfile.TemporaryFile(prefix="muckard-export-")  # noqa: SIM115  (the caller sends it)
        try:
            rows = _write(file, export_id, user_id, now)
            size_bytes = file.tell()
            file.seek(0)
            with transaction.atomic():
                publish(
                    UserDataExported(user_id=user_id, export_id=export_id, rows=rows, size_bytes=size_bytes), now=now
                )
        except BaseException:
            file.close()
            raise
    log.info("user_data_exported", user_id=str(user_id), rows=rows, size_bytes=size_bytes)
    return Export(export_id, file, size_bytes, now)


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(blocking=False):
        raise ExportBusy()
    try:
        yield
    finally:
        _turns.release()


def _write(file: IO[bytes], export_id: UUID, user_id: UUID, now: datetime) -> int:
    """Returns the number of rows. The manifest is the last entry."""
    hides = _Hiding(addresses_of(user_id))
    files: list[dict[str, Any]] = []
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for service, rows in _sources(user_id):
            for section, group in groupby(rows, key=itemgetter(0)):
                path = f"{service}/{section}.jsonl"
                with archive.open(_entry(path, now), "w", force_zip64=True) as entry:
                    files.append({"path": path, **_write_rows(entry, (hides(row) for _, row in group if row))})
        manifest = {
            "format": "muckard-export",
            "version": FORMAT_VERSION,
            "export_id": str(export_id),
            "user_id": str(user_id),
            "made_at": now.isoformat(),
            "files": files,
        }
        archive.writestr(_entry(MANIFEST, now), json.dumps(manifest, indent=1))
    return sum(each["rows"] for each in files)


def _sources(user_id: UUID) -> Iterator[tuple[str, Iterator[tuple[str, str]]]]:
    # Other services first: where one is down, that shows soonest.
    for service in other_services.SERVICES:
        yield service, other_services.rows_of(service, user_id=user_id)
    yield "user", _own_rows(user_id)


def _own_rows(user_id: UUID) -> Iterator[tuple[str, str]]:
    for section, rows in personal_data_of("user", user_id):
        yield section, ""  # no row: a section without any has its file, too
        for row in rows:
            yield section, row_json(row)


def _write_rows(entry: IO[bytes], rows: Iterator[str]) -> dict[str, Any]:
    """One JSON object a line. Returns what the manifest says of them."""
    count, digest = 0, hashlib.sha256()
    for row in rows:
        line = (row + "\n").encode()
        digest.update(line)
        entry.write(line)
        count += 1
    return {"rows": count, "sha256": digest.hexdigest()}


def _entry(path: str, now: datetime) -> ZipInfo:
    entry = ZipInfo(path, date_time=now.timetuple()[:6])
    entry.compress_type = ZIP_DEFLATED
    return entry


class _Hiding:
    """Hides every e-mail address that is not the person's: members of staff may be named in what they did or wrote."""

    def __init__(self, own: set[str]) -> None:
        self._own = own

    def __call__(self, row: str) -> str:
        return _EMAIL.sub(self._shown, row) if "@" in row else row

    def _shown(self, found: "re.Match[str]") -> str:
        address = found.group()
        return address if address.lower() in self._own else "(address of another person)"
