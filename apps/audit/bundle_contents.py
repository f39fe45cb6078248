"""The events of a bundle, live and archived, written as a stream in the order of aggregates and event numbers.

Memory does not grow with the number of events: PostgreSQL sorts the live ones, an external sort the archived ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from django.db.backends.utils import CursorWrapper

from apps.audit import read_archive
from apps.audit.bundle_archive import ArchivedEvents, ArchivedLine, sort_key
from apps.audit.bundle_proof import LeafLines
from apps.audit.event_row import COLUMNS, Position, follows, position_of
from apps.audit.external_sort import external_sort
from apps.audit.filters import EventFilter
from apps.core.errors import PlatformError

_PROGRESS_EVERY = 10_000

# Leaf index, the previous event's hash if that event does not match the filter, and the event's own columns.
_MATCHING_EVENTS = """
    COPY (
        SELECT seal_no,
               CASE WHEN aggregate_seq > 1 AND lag(aggregate_seq) OVER of_aggregate IS DISTINCT FROM aggregate_seq - 1
                    THEN (SELECT encode(previous.hash, 'hex') FROM events.event AS previous
                           WHERE previous.aggregate_type = event.aggregate_type
                             AND previous.aggregate_id = event.aggregate_id
                             AND previous.aggregate_seq = event.aggregate_seq - 1)
               END,
               {columns}
          FROM events.event
          LEFT JOIN (SELECT event_id AS leaf_event_id, seal_no FROM audit.audit_leaf WHERE seal_no < %s) AS leaf
                 ON leaf_event_id = event_id
         WHERE {where}
        WINDOW of_aggregate AS (PARTITION BY aggregate_type COLLATE "C", aggregate_id ORDER BY aggregate_seq)
         ORDER BY aggregate_type COLLATE "C", aggregate_id, aggregate_seq
    ) TO STDOUT WITH (NULL '')
"""


class NothingToExport(PlatformError):
    """No event fits the filter."""

    code = "nothing_to_export"
    http_status = 404


class StoreDoesNotVerify(PlatformError):
    """The stored events are not those that were written: their bundle would not verify."""

    code = "store_does_not_verify"
    http_status = 500


@dataclass
class EventWriter:
    """Writes events to the bundle's files. Takes them in the order of aggregates and event numbers.

    `write_previous` gets the line number and the hexadecimal previous hash of each event whose predecessor is not on
    the line before it.
    """

    write_event: Callable[[bytes], object]
    write_previous: Callable[[bytes], object]
    leaf_lines: LeafLines
    progress: Callable[[int], None]
    events: int = 0
    # The reason why a previous hash may not be found.
    unavailable: PlatformError | None = None
    _last: Position = ("", "", 0)
    # None if the last event is itself in the bundle.
    _last_hash: bytes | None = None

    def skip(self, position: Position, digest: bytes) -> None:
        """Takes the hash of an event that is not in the bundle and may precede the next one."""
        self._last, self._last_hash = position, digest

    def write(self, position: Position, leaf_index: bytes, previous_hash: bytes, line: bytes) -> None:
        """Raises StoreDoesNotVerify, ArchiveMissing, ArchiveChanged if the previous hash is not found."""
        self.events += 1
        is_next = follows(position, self._last)
        if position[2] > 1 and not (is_next and self._last_hash is None):
            digest = self._last_hash if is_next else previous_hash
            if not digest:
                aggregate_type, aggregate_id, number = position
                raise self.unavailable or StoreDoesNotVerify(
                    f"{aggregate_type}:{aggregate_id} #{number - 1} is missing. Nothing was exported: see `manage.py "
                    "audit_verify`."
                )
            self.write_previous(b"%d\t%s\n" % (self.events, digest))
        self.write_event(line)
        if leaf_index:
            self.leaf_lines.add(int(leaf_index), self.events)
        self._last, self._last_hash = position, None
        if self.events % _PROGRESS_EVERY == 0:
            self.progress(self.events)


def write_events(
    cursor: CursorWrapper,
    filters: EventFilter,
    writer: EventWriter,
    *,
    tree_size: int,
    archive_folder: Path | None,
    spool_folder: Path,
) -> None:
    """Writes the events that match the filter, with their leaf indices below `tree_size`.

    Archived events are sorted in a temporary file in `spool_folder`. Raises NothingToExport, ArchiveMissing,
    ArchiveChanged, StoreDoesNotVerify, OSError.
    """
    where, parameters = filters.sql()
    months = read_archive.months_since(filters.recorded_since)
    read_archive.check_digests(months, archive_folder)
    archived = ArchivedEvents(cursor, filters, archive_folder, tree_size)
    lines = external_sort(
        chain(archived.matching(months), archived.previous_hashes(months, where, parameters)), folder=spool_folder
    )
    merge = _Merge(lines, writer)
    writer.unavailable = archived.unavailable
    query = cursor.cursor.mogrify(_MATCHING_EVENTS.format(columns=COLUMNS, where=where), [tree_size, *parameters])
    cursor.cursor.copy_expert(query.decode(), merge)
    merge.finish()
    if not writer.events:
        raise NothingToExport("No event fits the filter.")


class _Merge:
    """Merges the live rows, which `cursor.copy_expert` writes one at a time, with the sorted archived lines."""

    def __init__(self, lines: Iterator[bytes], writer: EventWriter) -> None:
        self._lines, self._writer = lines, writer
        self._next = next(lines, None)

    def write(self, row: bytes) -> int:
        leaf_index, previous_hash, line = bytes(row).split(b"\t", 2)
        position = position_of(line)
        key = sort_key(position)
        while self._next is not None and self._next < key:
            self._write_archived(self._next)
        self._writer.write(position, leaf_index, previous_hash, line)
        return len(row)

    def finish(self) -> None:
        while self._next is not None:
            self._write_archived(self._next)

    def _write_archived(self, line: bytes) -> None:
        archived = ArchivedLine.parse(line)
        if archived.event:
            self._writer.write(archived.position, archived.leaf_index, archived.previous_hash, archived.event)
        else:
            self._writer.skip(archived.position, archived.previous_hash)
        self._next = next(self._lines, None)
