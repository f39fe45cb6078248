"""Sources of replayed events. Each yields the events that match the filter, in the order of every aggregate."""

from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from django.db import Error, connection, transaction

from apps.audit import read_archive
from apps.audit.event_row import COLUMNS, parse_event_row
from apps.audit.external_sort import external_sort
from apps.audit.filters import EventFilter
from apps.audit.models import ArchivedPartition
from apps.events.brokers.kafka.reader import TopicReader
from apps.messages.cloud_events import from_kafka as envelope_of
from apps.messages.envelope import Envelope

_ROWS_AT_ONCE = 2_000
_PARTS_OF_A_KEY = 4


def from_kafka(filters: EventFilter) -> Generator[Envelope, None, None]:
    """The events in the topics at this moment; later ones are not waited for. Raises BrokerUnavailable."""
    reader = TopicReader(sorted(filters.topics()), since=filters.recorded_since)
    for record in reader.records():
        envelope = envelope_of(record.headers, record.value)
        if filters.fits(envelope):
            yield envelope


def from_store(filters: EventFilter, *, archive_folder: Path | None = None) -> Generator[Envelope, None, None]:
    """All messages published up to now, commands and status messages too: archived months first, then the live table.

    All files are checked before the first event is yielded. Raises ArchiveMissing, ArchiveChanged.
    """
    with _at_this_moment(filters, archive_folder) as months:
        read_archive.check_digests(months, archive_folder)
        for month in months:
            matching = _with_sort_key(read_archive.read_rows(month, archive_folder), filters)
            for line in external_sort(matching):
                yield parse_event_row(line.split(b"\t", _PARTS_OF_A_KEY)[-1]).envelope
        with connection.cursor() as cursor:
            while True:
                cursor.execute(f"FETCH {_ROWS_AT_ONCE} FROM replay")
                rows = cursor.fetchall()
                if not rows:
                    return
                for (line,) in rows:
                    yield parse_event_row(line.encode()).envelope


def stored(event_ids: Collection[UUID]) -> list[Envelope]:
    """The events with these ids that are in the live table, in the order of each aggregate."""
    with connection.cursor() as cursor:
        cursor.execute(_select("event_id = ANY(%s::uuid[])"), [list(event_ids)])
        return [parse_event_row(line.encode()).envelope for (line,) in cursor.fetchall()]


@contextmanager
def _at_this_moment(filters: EventFilter, archive_folder: Path | None) -> Iterator[list[ArchivedPartition]]:
    """Opens the cursor `replay` over the live table, and yields the archived months that precede it.

    The cursor is WITH HOLD: no transaction is open while the events are handed over, which may take hours, because the
    target commits in its own transactions.
    """
    where, parameters = filters.sql()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        # No month may be archived between the query of the archived months and the opening of the cursor.
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
    # In the order of recording, except where a clock was set back: the order of an aggregate has precedence.
    came = "max(recorded_at) OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY aggregate_seq)"
    order = f"{came}, aggregate_type, aggregate_id, aggregate_seq"
    return f"SELECT {line} FROM events.event WHERE {where} ORDER BY {order}"  # noqa: S608  # nosec B608


def _with_sort_key(lines: Iterable[bytes], filters: EventFilter) -> Iterator[bytes]:
    """The matching lines, each prefixed with a key that sorts like the live table's cursor."""
    aggregate, came = "", 0
    for line in lines:
        record = parse_event_row(line)
        envelope = record.envelope
        recorded = int(record.recorded_at.timestamp() * 1_000_000)
        came = recorded if envelope.source != aggregate else max(came, recorded)
        aggregate = envelope.source
        if filters.fits(envelope):
            key = f"{came:020d}\t{envelope.aggregate_type}\t{envelope.aggregate_id}\t{envelope.aggregate_seq:020d}\t"
            yield key.encode() + line
