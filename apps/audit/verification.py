"""Proves the event store whole: chains, chain heads, seals, signatures, and what is kept outside the database.

Everything is computed from the columns as they are stored, with PostgreSQL's own functions and operators alone: what
the database's owner defined is not called.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connection, transaction
from django.utils import timezone

from apps.audit import checkpoints, read_archive, restores, unsealed
from apps.audit.chains import ChainVerifier, Divergence
from apps.audit.checkpoints import Checkpoint, InvalidCheckpoint
from apps.audit.event_row import COLUMNS, digest_of, event_id_of, parse_record
from apps.audit.merkle import MerkleTree, leaf_hash
from apps.audit.models import ArchivedPartition, SealedCheckpoint
from apps.audit.read_archive import ArchiveChanged, ArchiveMissing
from apps.audit.schema import disguised
from apps.audit.witness import Compared, compare

ALL_EVENTS = f"""
    COPY (SELECT {COLUMNS} FROM events.event ORDER BY aggregate_type, aggregate_id, aggregate_seq, recorded_at)
    TO STDOUT WITH (NULL '')
"""  # noqa: S608

_HEADS = "SELECT aggregate_type || '/' || aggregate_id, last_seq, last_hash FROM events.stream"

# Sealed, and not there any more or changed since. Archived months are proved from their files.
_BROKEN_SEALS = """
    SELECT l.seal_no, l.event_id, e.event_id IS NULL
      FROM audit.audit_leaf l LEFT JOIN events.event e ON e.event_id = l.event_id AND e.recorded_at = l.recorded_at
     WHERE (e.event_id IS NULL OR e.hash <> l.event_hash)
       AND NOT EXISTS (SELECT 1 FROM audit.audit_archived_partition a
                        WHERE l.recorded_at >= a.starts_at AND l.recorded_at < a.ends_at)
     ORDER BY l.seal_no LIMIT 20
"""

# What says which events are archived is no proof either: all seals together must be accounted for.
_SEALED_AND_STORED = """
    SELECT count(*), count(e.event_id)
      FROM audit.audit_leaf l LEFT JOIN events.event e ON e.event_id = l.event_id AND e.recorded_at = l.recorded_at
"""

_OWN_FUNCTIONS_ONLY = "SET LOCAL search_path = pg_catalog, audit, pg_temp; SET LOCAL row_security = off"

_RESTORED = b"\taudit.restored\t"

_LINES_AT_ONCE = 1_000
_MOST_REPORTED = 20


@dataclass
class Verdict:
    """What was proved, and the divergences found, first one first."""

    events: int = 0
    aggregates: int = 0
    sealed: int = 0
    checkpoints: int = 0
    unsealed: int = 0
    witness: Compared | None = None
    divergences: list[Divergence] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.divergences

    @property
    def summary(self) -> str:
        """What was proved, in a line."""
        text = f"{self.events:,} events, {self.sealed:,} of them under {self.checkpoints:,} signed checkpoints"
        return f"{text}; {self.witness}" if self.witness else f"{text}; not compared with a witness"


Progress = Callable[[str, int], None]


def verify(
    *,
    public_key: Ed25519PublicKey,
    archive_folder: Path | None = None,
    witness: Path | None = None,
    progress: Progress = lambda _step, _done: None,
) -> Verdict:
    """Reads one consistent snapshot and recomputes everything. `witness` is a file of notes kept elsewhere."""
    verdict, archives = Verdict(), None
    with read_archive.at_one_moment() as cursor:
        cursor.execute(_OWN_FUNCTIONS_ONLY)
        verdict.divergences += disguised(cursor)
        verdict.divergences += _archive_not_named(archive_folder)
        if verdict.is_whole:
            archives = _ArchivedMonths(archive_folder)
            _verify_chains(verdict, archives, progress)
            last = _verify_seals(verdict, archives, public_key, progress)
            without_seal = unsealed.unsealed_get(cursor)
            verdict.unsealed = without_seal.events
            verdict.divergences += unsealed.overdue(cursor, without_seal, last)
    if witness is not None:
        verdict.witness = Compared()
        # Read committed: each note of the file is looked for in what is committed by then.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_OWN_FUNCTIONS_ONLY)
            found = compare(witness, public_key, timezone.now(), verdict.witness)
            verdict.divergences += islice(found, _MOST_REPORTED)
            events = [*(archives.restores if archives else []), *restores.recorded()]
            verdict.divergences += islice(restores.compare_kept(witness, events), _MOST_REPORTED)
    return verdict


def _archive_not_named(archive_folder: Path | None) -> Iterator[Divergence]:
    months = read_archive.months_since(None)
    if months and archive_folder is None:
        names = months[0].name if len(months) == 1 else f"{months[0].name} to {months[-1].name}"
        message = (
            f"{len(months)} months are archived in files: name their folder with --archive FOLDER. Without them the "
            "events cannot be verified"
        )
        yield Divergence("archive", names, 0, message)


class _ArchivedMonths:
    """Reads the files once, for the chains and for the seals of their events."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.sealed = 0
        self.broken_files: list[Divergence] = []
        self.broken_seals: list[Divergence] = []
        self.restores: list[dict[str, str]] = []

    def read(self, verifier: ChainVerifier) -> None:
        for month in read_archive.months_since(None):
            try:
                read_archive.refuse_changed([month], self._folder)
            except ArchiveMissing:
                self._name(month, f"the file {month.file_name} is not in the archive folder")
                continue
            except ArchiveChanged:
                self._name(month, f"{month.file_name} was changed")
            lines = read_archive.lines_of(month, self._folder)
            try:
                while batch := list(islice(lines, _LINES_AT_ONCE)):
                    for line in batch:
                        verifier.write(line)
                        if _RESTORED in line:
                            self.restores.append(json.loads(parse_record(line).envelope.payload))
                    self._compare_with_seals(batch)
            except (EOFError, OSError, ValueError, zlib.error) as error:
                self._name(month, f"{month.file_name} cannot be read: {error}")
            verifier.finish()

    def _name(self, month: ArchivedPartition, message: str) -> None:
        self.broken_files.append(Divergence("archive", month.name, 0, message))

    def _compare_with_seals(self, lines: list[bytes]) -> None:
        # The file's digest in the database is no proof: whoever changes the one can change the other.
        digests = {event_id_of(line): digest_of(line) for line in lines}
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT event_id::text, seal_no, event_hash FROM audit.audit_leaf WHERE event_id = ANY(%s::uuid[])",
                [list(digests)],
            )
            seals = {event_id: (seal_no, bytes(digest)) for event_id, seal_no, digest in cursor.fetchall()}
        self.sealed += len(seals)
        for event_id, digest in digests.items():
            seal_no, sealed = seals.get(event_id, (0, b""))
            if sealed != digest and len(self.broken_seals) < _MOST_REPORTED:
                message = "was changed after it was sealed and archived" if sealed else "is archived, and not sealed"
                self.broken_seals.append(Divergence("seal", f"event {event_id}", seal_no, message))


def _verify_chains(verdict: Verdict, archives: _ArchivedMonths, progress: Progress) -> None:
    verifier = ChainVerifier(progress=lambda events: progress("chains", events))
    archives.read(verifier)
    with connection.cursor() as cursor:
        cursor.cursor.copy_expert(ALL_EVENTS, verifier)
        heads = verifier.finish()
        cursor.execute(_HEADS)
        stored = {name.encode(): (sequence, bytes(digest)) for name, sequence, digest in cursor.fetchall()}
    verdict.events, verdict.aggregates = verifier.events, len(heads)
    verdict.divergences += archives.broken_files
    verdict.divergences += verifier.divergences
    verdict.divergences += list(_compare_heads(heads, stored))


def _compare_heads(
    heads: dict[bytes, tuple[int, bytes]], stored: dict[bytes, tuple[int, bytes]]
) -> Iterator[Divergence]:
    for aggregate in sorted(heads.keys() | stored.keys()):
        found, expected = heads.get(aggregate, (0, b"")), stored.get(aggregate, (0, b""))
        if found == expected:
            continue
        message = f"the chain ends at #{found[0]}, its head says #{expected[0]}"
        if found[0] == expected[0]:
            message = "the last event and the chain's head have different hashes"
        yield Divergence("tail", aggregate.decode(), found[0] + 1, message)


def _verify_seals(
    verdict: Verdict, archives: _ArchivedMonths, public_key: Ed25519PublicKey, progress: Progress
) -> Checkpoint | None:
    """Returns the last checkpoint, where all are what was signed."""
    with connection.cursor() as cursor:
        cursor.execute(_SEALED_AND_STORED)
        verdict.sealed, stored = cursor.fetchone()
        last = _verify_tree(verdict, public_key, progress)
        cursor.execute(_BROKEN_SEALS)
        for seal_no, event_id, is_missing in cursor.fetchall():
            message = "was sealed and is gone" if is_missing else "was changed after it was sealed"
            verdict.divergences.append(Divergence("seal", f"event {event_id}", seal_no, message))
        verdict.divergences += archives.broken_seals
        lost = verdict.sealed - stored - archives.sealed
        if lost > 0:
            message = f"{lost} sealed events are neither in the table nor in an archive"
            verdict.divergences.append(Divergence("seal", "merkle tree", verdict.sealed, message))
    return last


def _verify_tree(verdict: Verdict, public_key: Ed25519PublicKey, progress: Progress) -> Checkpoint | None:
    """Up to the first checkpoint that is not what was signed: all later ones grow from it."""
    tree = MerkleTree()
    signed: Checkpoint | None = None
    with connection.cursor() as cursor:
        for row in SealedCheckpoint.objects.order_by("tree_size").iterator():
            cursor.execute(
                "SELECT event_hash FROM audit.audit_leaf WHERE seal_no >= %s AND seal_no < %s ORDER BY seal_no",
                [tree.size, row.tree_size],
            )
            tree.extend(leaf_hash(bytes(digest)) for (digest,) in cursor.fetchall())
            progress("seals", tree.size)
            verdict.checkpoints += 1
            try:
                before, signed = signed, checkpoints.open_note(row.note, public_key)
            except InvalidCheckpoint as error:
                verdict.divergences.append(Divergence("checkpoint", "merkle tree", tree.size, error.message))
                return None
            problem = _problem(row, signed, tree, before)
            if problem:
                verdict.divergences.append(Divergence("seal", "merkle tree", tree.size, problem))
                return None
    if verdict.sealed > tree.size:
        message = f"{verdict.sealed - tree.size} sealed events are under no signed checkpoint"
        verdict.divergences.append(Divergence("seal", "merkle tree", tree.size, message))
    return signed


def _problem(row: SealedCheckpoint, signed: Checkpoint, tree: MerkleTree, before: Checkpoint | None) -> str:
    """What of a stored checkpoint is not what was signed, or not what the leaves give; nothing where all is."""
    if signed.tree_size != tree.size:
        return f"{signed.tree_size} events were sealed, {tree.size} are left"
    if signed.root != tree.root:
        return "the sealed events are not those that were signed"
    columns = (bytes(row.root), [bytes(node) for node in row.frontier], signed.settled_until or row.settled_until)
    for name, found, expected in zip(
        ("root", "frontier", "settled_until"),
        columns,
        (tree.root, tree.frontier, row.settled_until),
        strict=True,
    ):
        if found != expected:
            return f"the column {name} of the checkpoint is not what was signed"
    if before and before.settled_until and (not signed.settled_until or signed.settled_until < before.settled_until):
        return "it says that fewer events are settled than the checkpoint before it"
    return ""
