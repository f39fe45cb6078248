"""What goes into a bundle, as streams: the events that fit, archived ones too, and what proves each of them.

Memory does not grow with the events: the database sorts its own, and archived ones are sorted in a file.
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, BinaryIO

from django.db.backends.utils import CursorWrapper

from apps.audit import read_archive
from apps.audit.event_row import COLUMNS, digest_of, event_id_of, parse_record, place_of
from apps.audit.external_sort import external_sort
from apps.audit.filters import EventFilter
from apps.audit.merkle import ProofBuilder, leaf_hash
from apps.audit.models import ArchivedPartition
from apps.audit.read_archive import ArchiveChanged, ArchiveMissing
from apps.core.errors import PlatformError

_LINES_AT_ONCE = 1_000
_PROGRESS_EVERY = 10_000
_BYTES_AT_ONCE = 2**16

# The number of the event's seal, the hash of the event before it where that one does not fit, and the event itself.
_SELECTED = """
    COPY (
        SELECT seal_no,
               CASE WHEN aggregate_seq > 1 AND lag(aggregate_seq) OVER of_aggregate IS DISTINCT FROM aggregate_seq - 1
                    THEN (SELECT encode(before.hash, 'hex') FROM events.event AS before
                           WHERE before.aggregate_type = event.aggregate_type
                             AND before.aggregate_id = event.aggregate_id
                             AND before.aggregate_seq = event.aggregate_seq - 1)
               END,
               {columns}
          FROM events.event
          LEFT JOIN (SELECT event_id AS sealed_id, seal_no FROM audit.audit_leaf WHERE seal_no < %s) AS seal
                 ON sealed_id = event_id
         WHERE {where}
        WINDOW of_aggregate AS (PARTITION BY aggregate_type COLLATE "C", aggregate_id ORDER BY aggregate_seq)
         ORDER BY aggregate_type COLLATE "C", aggregate_id, aggregate_seq
    ) TO STDOUT WITH (NULL '')
"""

# Whether the hash before an event that fits has to come from an archived month.
_BEFORE_IS_NOT_STORED = """
    SELECT EXISTS (
        SELECT 1 FROM events.event
         WHERE {where} AND aggregate_seq > 1 AND NOT EXISTS (
            SELECT 1 FROM events.event AS before
             WHERE before.aggregate_type = event.aggregate_type AND before.aggregate_id = event.aggregate_id
               AND before.aggregate_seq = event.aggregate_seq - 1)
    )
"""


class NothingToExport(PlatformError):
    """No event fits the filter."""

    code = "nothing_to_export"
    http_status = 404


class StoreDoesNotVerify(PlatformError):
    """What is stored is not what was written: a bundle of it would not verify."""

    code = "store_does_not_verify"
    http_status = 500


Place = tuple[str, str, int]


class Seals:
    """Which seals the events of the bundle have: a file with eight bytes for each seal, the number of the event's line.

    Zero, and a hole in the file, is a seal of an event that is not in the bundle.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file.fileno()
        self.count = 0

    def note(self, seal_no: int, number: int) -> None:
        os.pwrite(self._file, number.to_bytes(8), seal_no * 8)
        self.count += 1

    def numbers(self) -> Iterator[int]:
        """The line of the event with seal 0, 1, 2 and so on, without an end."""
        for position in count(step=_BYTES_AT_ONCE):
            numbers = os.pread(self._file, _BYTES_AT_ONCE, position).ljust(_BYTES_AT_ONCE, b"\0")
            for (number,) in struct.iter_unpack(">Q", numbers):
                yield number


@dataclass
class Selected:
    """Takes what was found in the order of aggregates and numbers, and writes it to the bundle's files.

    `previous` gets the line's number and the hash before it, in hexadecimal, where that is not the line before.
    """

    write_event: Callable[[bytes], object]
    write_previous: Callable[[bytes], object]
    seals: Seals
    progress: Callable[[int], None]
    events: int = 0
    # Why the hash before an event may not be found.
    unavailable: PlatformError | None = None
    _last: Place = ("", "", 0)
    # None where the last one is itself in the bundle.
    _last_hash: bytes | None = None

    def pass_over(self, place: Place, digest: bytes) -> None:
        """An event that does not fit, and may be the one before the next."""
        self._last, self._last_hash = place, digest

    def take(self, place: Place, seal_no: bytes, before: bytes, line: bytes) -> None:
        """Raises StoreDoesNotVerify."""
        self.events += 1
        follows = place == (*self._last[:2], self._last[2] + 1)
        if place[2] > 1 and not (follows and self._last_hash is None):
            digest = self._last_hash if follows else before
            if not digest:
                aggregate_type, aggregate_id, number = place
                raise self.unavailable or StoreDoesNotVerify(
                    f"{aggregate_type}:{aggregate_id} #{number - 1} is missing. Nothing was exported: see `manage.py "
                    "audit_verify`."
                )
            self.write_previous(b"%d\t%s\n" % (self.events, digest))
        self.write_event(line)
        if seal_no:
            self.seals.note(int(seal_no), self.events)
        self._last, self._last_hash = place, None
        if self.events % _PROGRESS_EVERY == 0:
            self.progress(self.events)


def select(
    cursor: CursorWrapper,
    filters: EventFilter,
    selected: Selected,
    *,
    sealed: int,
    archive_folder: Path | None,
    spool_folder: Path,
) -> None:
    """Hands over what fits, with the seals below `sealed`.

    Archived events are sorted in a file in `spool_folder`. Raises NothingToExport, ArchiveMissing, ArchiveChanged,
    StoreDoesNotVerify, OSError.
    """
    where, parameters = filters.sql()
    months = read_archive.months_since(filters.recorded_since)
    read_archive.refuse_changed(months, archive_folder)
    found = _Archived(cursor, filters, archive_folder, sealed)
    lines = external_sort(chain(found.of(months), found.before_all(months, where, parameters)), folder=spool_folder)
    merge = _Merge(lines, selected)
    selected.unavailable = found.unavailable
    query = cursor.cursor.mogrify(_SELECTED.format(columns=COLUMNS, where=where), [sealed, *parameters])
    cursor.cursor.copy_expert(query.decode(), merge)
    merge.finish()
    if not selected.events:
        raise NothingToExport("No event fits the filter.")


def prove(
    cursor: CursorWrapper,
    seals: Seals,
    *,
    sealed: int,
    write_seal: Callable[[bytes], object],
    write_node: Callable[[bytes], object],
) -> bytes:
    """Writes each seal's number with its event's line, and the nodes of the tree that they do not tell.

    Returns the tree's root.
    """
    leaves = _Leaves(seals.numbers(), ProofBuilder(lambda node: write_node(node.hex().encode() + b"\n")), write_seal)
    query = cursor.cursor.mogrify(
        "COPY (SELECT event_hash FROM audit.audit_leaf WHERE seal_no < %s ORDER BY seal_no) TO STDOUT", [sealed]
    )
    cursor.cursor.copy_expert(query.decode(), leaves)
    return leaves.proof.finish()


@dataclass
class _Leaves:
    """Takes the rows that `cursor.copy_expert` writes, one at a time."""

    numbers: Iterator[int]
    proof: ProofBuilder
    write_seal: Callable[[bytes], object]

    def write(self, row: bytes) -> int:
        number = next(self.numbers)
        if number:
            self.write_seal(b"%d\t%d\n" % (self.proof.size, number))
        # COPY text doubles the backslash of bytea's \x.
        self.proof.append(leaf_hash(bytes.fromhex(row[3:-1].decode())), is_wanted=number > 0)
        return len(row)


class _Archived:
    """Reads archived months into lines that sort by place: the event's number padded, its seal, the hash before it and
    the event itself. Where the event does not fit and may stand before one that does, only its own hash follows."""

    def __init__(self, cursor: CursorWrapper, filters: EventFilter, folder: Path | None, sealed: int) -> None:
        self._cursor, self._filters, self._folder, self._sealed = cursor, filters, folder, sealed
        self._lacks_before = False
        self.unavailable: PlatformError | None = None

    def of(self, months: list[ArchivedPartition]) -> Iterator[bytes]:
        for month in months:
            lines = read_archive.lines_of(month, self._folder)
            last: tuple[Place, bytes, bool] | None = None
            while batch := list(islice(lines, _LINES_AT_ONCE)):
                fitting = []
                for line in batch:
                    place, fits = place_of(line), self._filters.fits(parse_record(line).envelope)
                    follows = last is not None and _follows(place, last[0])
                    if last is not None and not last[2] and (fits or not follows):
                        yield _passed_over(last[0], last[1])
                    if fits:
                        fitting.append((place, line, place[2] > 1 and not follows))
                    last = (place, line, fits)
                yield from self._with_seals(fitting)
            if last is not None and not last[2]:
                yield _passed_over(last[0], last[1])

    def before_all(self, months: list[ArchivedPartition], where: str, parameters: list[Any]) -> Iterator[bytes]:
        """What the other months have, if the hash before an event that fits can only be there."""
        others = [month for month in read_archive.months_since(None) if month not in months]
        if not others:
            return
        self._cursor.execute(_BEFORE_IS_NOT_STORED.format(where=where), parameters)
        if not self._cursor.fetchone()[0] and not self._lacks_before:
            return
        for month in others:
            try:
                read_archive.refuse_changed([month], self._folder)
            except (ArchiveMissing, ArchiveChanged) as error:
                self.unavailable = error
                continue
            last: tuple[Place, bytes] | None = None
            for line in read_archive.lines_of(month, self._folder):
                place = place_of(line)
                if last is not None and not _follows(place, last[0]):
                    yield _passed_over(*last)
                last = (place, line)
            if last is not None:
                yield _passed_over(*last)

    def _with_seals(self, fitting: list[tuple[Place, bytes, bool]]) -> Iterator[bytes]:
        self._cursor.execute(
            "SELECT event_id::text, seal_no FROM audit.audit_leaf WHERE event_id = ANY(%s::uuid[]) AND seal_no < %s",
            [[event_id_of(line) for _, line, _ in fitting], self._sealed],
        )
        seals: dict[str, int] = dict(self._cursor.fetchall())
        before = self._stored_before([place for place, _, lacks in fitting if lacks])
        for place, line, lacks in fitting:
            self._lacks_before |= lacks and place not in before
            yield _key(place) + b"\t%s\t%s\t%s" % (
                str(seals.get(event_id_of(line), "")).encode(), before.get(place, b""), line
            )  # fmt: skip

    def _stored_before(self, places: list[Place]) -> dict[Place, bytes]:
        """A clock that was set back may have put an event into the month before that of its predecessor."""
        columns = [list(column) for column in zip(*places, strict=True)] or [[], [], []]
        self._cursor.execute(
            "SELECT aggregate_type, aggregate_id::text, aggregate_seq + 1, encode(hash, 'hex') FROM events.event "
            "JOIN unnest(%s::text[], %s::uuid[], %s::bigint[]) AS one (of_type, of_id, seq) "
            "ON (aggregate_type, aggregate_id, aggregate_seq) = (of_type, of_id, seq - 1)",
            columns,
        )
        return {(row[0], row[1], row[2]): row[3].encode() for row in self._cursor.fetchall()}


class _Merge:
    """Takes the rows of the live table from `cursor.copy_expert`, and hands over the archived ones between them."""

    def __init__(self, lines: Iterator[bytes], selected: Selected) -> None:
        self._lines, self._selected = lines, selected
        self._next = next(lines, None)

    def write(self, row: bytes) -> int:
        seal_no, before, line = bytes(row).split(b"\t", 2)
        place = place_of(line)
        key = _key(place)
        while self._next is not None and self._next < key:
            self._hand_over(self._next)
        self._selected.take(place, seal_no, before, line)
        return len(row)

    def finish(self) -> None:
        while self._next is not None:
            self._hand_over(self._next)

    def _hand_over(self, found: bytes) -> None:
        aggregate_type, aggregate_id, number, seal_no, before, line = found.split(b"\t", 5)
        place = (aggregate_type.decode(), aggregate_id.decode(), int(number))
        if line == b"\n":
            self._selected.pass_over(place, before)
        else:
            self._selected.take(place, seal_no, before, line)
        self._next = next(self._lines, None)


def _follows(place: Place, last: Place) -> bool:
    return place == (*last[:2], last[2] + 1)


def _key(place: Place) -> bytes:
    return f"{place[0]}\t{place[1]}\t{place[2]:020d}".encode()


def _passed_over(place: Place, line: bytes) -> bytes:
    return _key(place) + b"\t\t" + digest_of(line).hex().encode() + b"\t\n"
