"""Archived events for a bundle, as lines that sort by their position.

Columns of a line: aggregate type, aggregate id, event number padded with zeros, leaf index, hash of the previous event
in hexadecimal, and the event's COPY line. Leaf index and previous hash may be empty. A line without an event carries
the hash of an event that does not match the filter but may precede one that does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

from django.db.backends.utils import CursorWrapper

from apps.audit import read_archive
from apps.audit.event_row import Position, digest_of, event_id_of, follows, parse_event_row, position_of
from apps.audit.filters import EventFilter
from apps.audit.models import ArchivedPartition
from apps.audit.read_archive import ArchiveChanged, ArchiveMissing
from apps.core.errors import PlatformError

_LINES_AT_ONCE = 1_000

# Whether the hash before a matching event of the live table has to come from an archived month.
_PREVIOUS_IS_ARCHIVED = """
    SELECT EXISTS (
        SELECT 1 FROM events.event
         WHERE {where} AND aggregate_seq > 1 AND NOT EXISTS (
            SELECT 1 FROM events.event AS previous
             WHERE previous.aggregate_type = event.aggregate_type AND previous.aggregate_id = event.aggregate_id
               AND previous.aggregate_seq = event.aggregate_seq - 1)
    )
"""


@dataclass(frozen=True)
class ArchivedLine:
    """A parsed line. `event` is empty if only the event's hash is known; `previous_hash` is that hash then."""

    position: Position
    leaf_index: bytes
    previous_hash: bytes
    event: bytes

    @classmethod
    def parse(cls, line: bytes) -> Self:
        aggregate_type, aggregate_id, number, leaf_index, previous_hash, event = line.split(b"\t", 5)
        position = (aggregate_type.decode(), aggregate_id.decode(), int(number))
        return cls(position, leaf_index, previous_hash, event if event != b"\n" else b"")


def sort_key(position: Position) -> bytes:
    """The beginning of a line: keys sort by aggregate and event number."""
    return f"{position[0]}\t{position[1]}\t{position[2]:020d}".encode()


class ArchivedEvents:
    """Reads the archived months that an export needs.

    `unavailable` is the reason why a month that may hold a previous hash could not be read, or None.
    """

    def __init__(self, cursor: CursorWrapper, filters: EventFilter, folder: Path | None, tree_size: int) -> None:
        self._cursor, self._filters, self._folder, self._tree_size = cursor, filters, folder, tree_size
        self._lacks_previous = False
        self.unavailable: PlatformError | None = None

    def matching(self, months: list[ArchivedPartition]) -> Iterator[bytes]:
        """The events that match the filter, and the hashes of events that may precede them."""
        for month in months:
            lines = read_archive.read_rows(month, self._folder)
            last: tuple[Position, bytes, bool] | None = None
            while batch := list(islice(lines, _LINES_AT_ONCE)):
                matching = []
                for line in batch:
                    position, fits = position_of(line), self._filters.fits(parse_event_row(line).envelope)
                    is_next = last is not None and follows(position, last[0])
                    if last is not None and not last[2] and (fits or not is_next):
                        yield _hash_only(last[0], last[1])
                    if fits:
                        matching.append((position, line, position[2] > 1 and not is_next))
                    last = (position, line, fits)
                yield from self._with_leaves(matching)
            if last is not None and not last[2]:
                yield _hash_only(last[0], last[1])

    def previous_hashes(self, months: list[ArchivedPartition], where: str, parameters: list[Any]) -> Iterator[bytes]:
        """The last hash of every aggregate in the other months, if only they can have the hash before an event.

        Call it after `matching` has been read to its end.
        """
        others = [month for month in read_archive.months_since(None) if month not in months]
        if not others:
            return
        self._cursor.execute(_PREVIOUS_IS_ARCHIVED.format(where=where), parameters)
        if not self._cursor.fetchone()[0] and not self._lacks_previous:
            return
        for month in others:
            try:
                read_archive.check_digests([month], self._folder)
            except (ArchiveMissing, ArchiveChanged) as error:
                self.unavailable = error
                continue
            last: tuple[Position, bytes] | None = None
            for line in read_archive.read_rows(month, self._folder):
                position = position_of(line)
                if last is not None and not follows(position, last[0]):
                    yield _hash_only(*last)
                last = (position, line)
            if last is not None:
                yield _hash_only(*last)

    def _with_leaves(self, matching: list[tuple[Position, bytes, bool]]) -> Iterator[bytes]:
        self._cursor.execute(
            "SELECT event_id::text, seal_no FROM audit.audit_leaf WHERE event_id = ANY(%s::uuid[]) AND seal_no < %s",
            [[event_id_of(line) for _, line, _ in matching], self._tree_size],
        )
        leaves: dict[str, int] = dict(self._cursor.fetchall())
        previous = self._live_previous([position for position, _, lacks in matching if lacks])
        for position, line, lacks in matching:
            self._lacks_previous |= lacks and position not in previous
            yield sort_key(position) + b"\t%s\t%s\t%s" % (
                str(leaves.get(event_id_of(line), "")).encode(), previous.get(position, b""), line
            )  # fmt: skip

    def _live_previous(self, positions: list[Position]) -> dict[Position, bytes]:
        """The hashes before these events that are in the live table.

        A clock that was set back can have put an event into an earlier month than its predecessor.
        """
        columns = [list(column) for column in zip(*positions, strict=True)] or [[], [], []]
        self._cursor.execute(
            "SELECT aggregate_type, aggregate_id::text, aggregate_seq + 1, encode(hash, 'hex') FROM events.event "
            "JOIN unnest(%s::text[], %s::uuid[], %s::bigint[]) AS one (of_type, of_id, seq) "
            "ON (aggregate_type, aggregate_id, aggregate_seq) = (of_type, of_id, seq - 1)",
            columns,
        )
        return {(row[0], row[1], row[2]): row[3].encode() for row in self._cursor.fetchall()}


def _hash_only(position: Position, line: bytes) -> bytes:
    return sort_key(position) + b"\t\t" + digest_of(line).hex().encode() + b"\t\n"
