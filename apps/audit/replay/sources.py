"""Where replayed events come from. Each source yields what fits the filter, in the order of every aggregate."""

import gzip
from collections.abc import Iterator
from pathlib import Path

from django.db import connection, transaction

from apps.audit.archive import archive_path
from apps.audit.filters import EventFilter
from apps.audit.models import ArchivedPartition
from apps.audit.records import COLUMNS, Record, parse_record
from apps.core.errors import PlatformError
from apps.events.cloud_events import from_kafka as envelope_of
from apps.events.envelope import Envelope
from apps.events.kafka import TopicReader

_ROWS_AT_ONCE = 2_000


class ArchiveMissing(PlatformError):
    """A month that the filter asks for is in a file that is not in the given folder."""

    code = "archive_missing"
    http_status = 404


def from_kafka(filters: EventFilter) -> Iterator[Envelope]:
    """What the topics hold now, of the last 90 days. Nothing that arrives meanwhile is waited for."""
    reader = TopicReader(sorted(filters.topics()), since=filters.since)
    for record in reader.records():
        envelope = envelope_of(record.headers, record.value)
        if filters.fits(envelope):
            yield envelope


def from_store(filters: EventFilter, *, archive_folder: Path | None = None) -> Iterator[Envelope]:
    """Everything ever published, commands and status messages too: archived months first, then the live table.

    Raises ArchiveMissing.
    """
    for record in _archived(filters, archive_folder):
        yield record.envelope
    where, parameters = filters.sql()
    # COPY's line form needs no second way of reading rows; a cursor on the server keeps memory flat.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        select = f"SELECT {_line_expression()} FROM events.event WHERE {where} "  # noqa: S608
        order = "ORDER BY recorded_at, aggregate_type, aggregate_id, aggregate_seq"
        cursor.execute(f"DECLARE replay NO SCROLL CURSOR FOR {select} {order}", parameters)
        while True:
            cursor.execute(f"FETCH {_ROWS_AT_ONCE} FROM replay")
            rows = cursor.fetchall()
            if not rows:
                return
            for (line,) in rows:
                yield parse_record(line.encode()).envelope


def _archived(filters: EventFilter, folder: Path | None) -> Iterator[Record]:
    for archived in ArchivedPartition.objects.all():
        if filters.since is not None and archived.ends_at <= filters.since:
            continue
        path = archive_path(folder, archived.file_name)
        if path is None or not path.is_file():
            raise ArchiveMissing(
                f"{archived.name} is archived in {archived.file_name}. Name its folder with --archive, or leave the "
                "month out with --since."
            )
        with gzip.open(path, "rb") as lines:
            records = (parse_record(line) for line in lines)
            yield from sorted(
                (record for record in records if filters.fits(record.envelope)),
                key=lambda record: (record.recorded_at, record.envelope.aggregate_seq),
            )


def _line_expression() -> str:
    columns = [column.strip() for column in COLUMNS.split(",")]
    texts = ", ".join(rf"coalesce(({column})::text, '')" for column in columns[:-2])
    return f"concat_ws(E'\\t', {texts}, '\\' || payload::text, '\\' || hash::text)"
