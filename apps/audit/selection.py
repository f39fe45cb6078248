"""What goes into a bundle: the events that fit, archived ones too, and what proves each of them; all of one moment."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.backends.utils import CursorWrapper

from apps.audit import archived
from apps.audit.filters import EventFilter
from apps.audit.merkle import audit_paths, leaf_hash
from apps.audit.models import Leaf, SealedCheckpoint
from apps.audit.records import COLUMNS, digest_of, event_id_of, parse_record, place_of
from apps.core.errors import PlatformError

# Lines of `records.COLUMNS` by aggregate type, aggregate id and number.
Lines = dict[tuple[str, str, int], bytes]


class NothingToExport(PlatformError):
    """No event fits the filter."""

    code = "nothing_to_export"
    http_status = 404


class StoreDoesNotVerify(PlatformError):
    """What is stored is not what was written: a bundle of it would not verify."""

    code = "store_does_not_verify"
    http_status = 500


@dataclass(frozen=True)
class Selection:
    """`previous` has the hash, in hexadecimal, of the event before each one whose predecessor does not fit, by id;
    `seals`, the last signed note, and the place in the tree and audit path of each sealed event, by id."""

    lines: Lines
    previous: dict[str, str]
    seals: dict[str, Any]


def select(filters: EventFilter, archive_folder: Path | None) -> Selection:
    """Raises NothingToExport, ArchiveMissing, ArchiveChanged, StoreDoesNotVerify."""
    with archived.at_one_moment() as cursor:
        lines = _lines(cursor, filters, archive_folder)
        if not lines:
            raise NothingToExport("No event fits the filter.")
        previous = _previous_hashes(cursor, lines, archive_folder)
        seals = _seals(cursor, [event_id_of(line) for line in lines.values()])
    return Selection(lines, previous, seals)


class _Collector:
    """Takes the rows that `cursor.copy_expert` writes, one at a time."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def write(self, line: bytes) -> int:
        self._lines[place_of(line)] = bytes(line)
        return len(line)


def _lines(cursor: CursorWrapper, filters: EventFilter, archive_folder: Path | None) -> Lines:
    lines: Lines = {}
    months = archived.months_since(filters.recorded_since)
    archived.refuse_changed(months, archive_folder)
    for month in months:
        for line in archived.lines_of(month, archive_folder):
            if filters.fits(parse_record(line).envelope):
                lines[place_of(line)] = line
    where, parameters = filters.sql()
    query = cursor.cursor.mogrify(
        f"COPY (SELECT {COLUMNS} FROM events.event WHERE {where}) TO STDOUT WITH (NULL '')",  # noqa: S608
        parameters,
    )
    cursor.cursor.copy_expert(query.decode(), _Collector(lines))
    return lines


def _previous_hashes(cursor: CursorWrapper, lines: Lines, archive_folder: Path | None) -> dict[str, str]:
    lacking = {
        (aggregate_type, aggregate_id, number - 1): event_id_of(line)
        for (aggregate_type, aggregate_id, number), line in lines.items()
        if number > 1 and (aggregate_type, aggregate_id, number - 1) not in lines
    }
    found: dict[str, str] = {}
    columns = [list(column) for column in zip(*lacking, strict=True)] or [[], [], []]
    cursor.execute(
        "SELECT aggregate_type, aggregate_id::text, aggregate_seq, encode(hash, 'hex') FROM events.event "
        "JOIN unnest(%s::text[], %s::uuid[], %s::bigint[]) AS lacking (aggregate_type, aggregate_id, aggregate_seq) "
        "USING (aggregate_type, aggregate_id, aggregate_seq)",
        columns,
    )
    for *place, digest in cursor.fetchall():
        found[lacking.pop((place[0], place[1], place[2]))] = digest
    for month in reversed(archived.months_since(None)) if lacking else ():
        for line in archived.lines_of(month, archive_folder):
            event_id = lacking.pop(place_of(line), None)
            if event_id is not None:
                found[event_id] = digest_of(line).hex()
    if lacking:
        aggregate_type, aggregate_id, number = min(lacking)
        raise StoreDoesNotVerify(
            f"{aggregate_type}:{aggregate_id} #{number} is missing. Nothing was exported: see `manage.py audit_verify`."
        )
    return found


def _seals(cursor: CursorWrapper, event_ids: Collection[str]) -> dict[str, Any]:
    last = SealedCheckpoint.objects.order_by("-tree_size").first()
    if last is None:
        return {"note": "", "events": {}}
    cursor.execute(
        "SELECT event_id::text, seal_no FROM audit.audit_leaf WHERE event_id = ANY(%s::uuid[]) AND seal_no < %s",
        [list(event_ids), last.tree_size],
    )
    index_of: dict[str, int] = dict(cursor.fetchall())
    leaves = Leaf.objects.filter(seal_no__lt=last.tree_size).order_by("seal_no").values_list("event_hash", flat=True)
    # A cursor on the server: the tree of all events does not fit into memory.
    hashes = (leaf_hash(bytes(digest)) for digest in leaves.iterator()) if index_of else iter(())
    paths = audit_paths(hashes, index_of.values())
    return {
        "note": last.note,
        "events": {
            event_id: {"index": index, "proof": [node.hex() for node in paths[index]]}
            for event_id, index in index_of.items()
        },
    }
