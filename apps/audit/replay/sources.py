"""Where replayed events come from. Each source yields what fits the filter, in the order of every aggregate."""

import heapq
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from uuid import UUID

from django.db import Error, connection, transaction

from apps.audit import read_archive
from apps.audit.event_row import COLUMNS, parse_record
from apps.audit.filters import EventFilter
from apps.audit.models import ArchivedPartition
from apps.events.brokers.kafka.reader import TopicReader
from apps.messages.cloud_events import from_kafka as envelope_of
from apps.messages.envelope import Envelope

_ROWS_AT_ONCE = 2_000
_SORTED_AT_ONCE = 50_000
_PARTS_OF_A_PLACE = 4


def from_kafka(filters: EventFilter) -> Generator[Envelope, None, None]:
    """What the topics hold now. Nothing that arrives meanwhile is waited for.

    Raises BrokerUnavailable.
    """
    reader = TopicReader(sorted(filters.topics()), since=filters.recorded_since)
    for record in reader.records():
        envelope = envelope_of(record.headers, record.value)
        if filters.fits(envelope):
            yield envelope


def from_store(filters: EventFilter, *, archive_folder: Path | None = None) -> Generator[Envelope, None, None]:
    """Everything published up to now, commands and status messages too: archived months first, then the live table.

    All files are looked at before the first event is given. Raises ArchiveMissing, ArchiveChanged.
    """
    with _at_this_moment(filters, archive_folder) as months:
        read_archive.refuse_changed(months, archive_folder)
        for month in months:
            matching = _with_place(read_archive.lines_of(month, archive_folder), filters)
            for line in _sorted(matching):
                yield parse_record(line.split(b"\t", _PARTS_OF_A_PLACE)[-1]).envelope
        with connection.cursor() as cursor:
            while True:
                cursor.execute(f"FETCH {_ROWS_AT_ONCE} FROM replay")
                rows = cursor.fetchall()
                if not rows:
                    return
                for (line,) in rows:
                    yield parse_record(line.encode()).envelope


def stored(event_ids: Collection[UUID]) -> list[Envelope]:
    """Those of the events that the live table has, each aggregate's in order."""
    with connection.cursor() as cursor:
        cursor.execute(_select("event_id = ANY(%s::uuid[])"), [list(event_ids)])
        return [parse_record(line.encode()).envelope for (line,) in cursor.fetchall()]


@contextmanager
def _at_this_moment(filters: EventFilter, archive_folder: Path | None) -> Iterator[list[ArchivedPartition]]:
    """Opens the cursor `replay` over the live table, and yields the archived months that belong before it.

    PostgreSQL keeps the cursor's rows aside: no transaction is open while the events are handed over, which may take
    hours, and their target commits each by itself.
    """
    where, parameters = filters.sql()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        # No month may leave the table between the look at the archive and the look at the table.
        cursor.execute("LOCK TABLE events.event IN ACCESS SHARE MODE")
        months = read_archive.months_since(filters.recorded_since)
        for month in months:
            read_archive.path_of(month, archive_folder)
        cursor.execute(f"DECLARE replay NO SCROLL CURSOR WITH HOLD FOR {_select(where)}", parameters)
    try:
        yield months
    finally:
        with suppress(Error), connection.cursor() as cursor:
            cursor.execute("CLOSE replay")


def _select(where: str) -> str:
    columns = [column.strip() for column in COLUMNS.split(",")]
    texts = ", ".join(rf"coalesce(({column})::text, '')" for column in columns[:-2])
    line = f"concat_ws(E'\\t', {texts}, '\\' || payload::text, '\\' || hash::text)"
    # As recorded; but a clock may have been set back, and the order of an aggregate counts for more.
    came = "max(recorded_at) OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY aggregate_seq)"
    order = f"{came}, aggregate_type, aggregate_id, aggregate_seq"
    return f"SELECT {line} FROM events.event WHERE {where} ORDER BY {order}"  # noqa: S608


def _with_place(lines: Iterable[bytes], filters: EventFilter) -> Iterator[bytes]:
    """The lines that fit, each behind its place in the same order as the live table's."""
    aggregate, came = "", 0
    for line in lines:
        record = parse_record(line)
        envelope = record.envelope
        recorded = int(record.recorded_at.timestamp() * 1_000_000)
        came = recorded if envelope.source != aggregate else max(came, recorded)
        aggregate = envelope.source
        if filters.fits(envelope):
            place = f"{came:020d}\t{envelope.aggregate_type}\t{envelope.aggregate_id}\t{envelope.aggregate_seq:020d}\t"
            yield place.encode() + line


def _sorted(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines in the order of their bytes, with only so many at a time in memory."""
    with ExitStack() as stack:
        runs = []
        while run := sorted(islice(lines, _SORTED_AT_ONCE)):
            file = stack.enter_context(TemporaryFile())
            file.writelines(run)
            file.seek(0)
            runs.append(file)
        yield from heapq.merge(*runs)
