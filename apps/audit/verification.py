"""Verification of the event store: hash chains, chain heads, Merkle tree, checkpoint signatures, archives and witness.

Everything is computed from the columns as stored, with PostgreSQL's built-in functions and operators only: functions
that the database's owner defined are not called.
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

from apps.audit import checkpoints, read_archive, restores
from apps.audit.chains import ChainVerifier, Divergence
from apps.audit.checkpoints import Checkpoint, InvalidCheckpoint
from apps.audit.event_row import COLUMNS, digest_of, event_id_of, parse_event_row
from apps.audit.merkle import MerkleTree, leaf_hash
from apps.audit.models import ArchivedPartition, SignedCheckpoint
from apps.audit.pending_events import pending_divergences, pending_events_get
from apps.audit.read_archive import ArchiveChanged, ArchiveMissing
from apps.audit.schema import BUILT_INS_ONLY, replaced_tables
from apps.audit.witness import WitnessComparison, compare

ALL_EVENTS = f"""
    COPY (SELECT {COLUMNS} FROM events.event ORDER BY aggregate_type, aggregate_id, aggregate_seq, recorded_at)
    TO STDOUT WITH (NULL '')
"""  # noqa: S608  # nosec B608

_HEADS = "SELECT aggregate_type || '/' || aggregate_id, last_seq, last_hash FROM events.stream"

# Leaves whose event is missing or was changed. Archived months are verified from their files.
_BROKEN_LEAVES = """
    SELECT l.seal_no, l.event_id, e.event_id IS NULL
      FROM audit.audit_leaf l LEFT JOIN events.event e ON e.event_id = l.event_id AND e.recorded_at = l.recorded_at
     WHERE (e.event_id IS NULL OR e.hash <> l.event_hash)
       AND NOT EXISTS (SELECT 1 FROM audit.audit_archived_partition a
                        WHERE l.recorded_at >= a.starts_at AND l.recorded_at < a.ends_at)
     ORDER BY l.seal_no LIMIT 20
"""

# The list of archived months is not trusted: every leaf must be found in the live table or in a file.
_LEAVES_AND_STORED = """
    SELECT count(*), count(e.event_id)
      FROM audit.audit_leaf l LEFT JOIN events.event e ON e.event_id = l.event_id AND e.recorded_at = l.recorded_at
"""

_NO_ROW_SECURITY = "SET LOCAL row_security = off"

_RESTORED = b"\taudit.restored\t"

_LINES_AT_ONCE = 1_000
_MOST_REPORTED = 20


@dataclass
class Verdict:
    """The result of a verification: what was verified, and the divergences in the order in which they were found.

    `leaves` is the size of the Merkle tree; `pending` is the number of events that are not in it yet.
    """

    events: int = 0
    aggregates: int = 0
    leaves: int = 0
    checkpoints: int = 0
    pending: int = 0
    witness: WitnessComparison | None = None
    divergences: list[Divergence] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.divergences

    @property
    def summary(self) -> str:
        """What was verified, in one line."""
        text = f"{self.events:,} events, {self.leaves:,} of them under {self.checkpoints:,} signed checkpoints"
        return f"{text}; {self.witness}" if self.witness else f"{text}; not compared with a witness"


Progress = Callable[[str, int], None]


def verify(
    *,
    public_key: Ed25519PublicKey,
    archive_folder: Path | None = None,
    witness: Path | None = None,
    progress: Progress = lambda _step, _done: None,
) -> Verdict:
    """Verifies everything in one consistent snapshot. `witness` is a file of signed notes outside the database.

    Raises OSError, DatabaseError.
    """
    verdict, archives = Verdict(), None
    with read_archive.consistent_snapshot() as cursor:
        cursor.execute(f"{BUILT_INS_ONLY}; {_NO_ROW_SECURITY}")
        verdict.divergences += replaced_tables(cursor)
        verdict.divergences += _archive_not_named(archive_folder)
        if verdict.is_whole:
            archives = _ArchivedMonths(archive_folder)
            _verify_chains(verdict, archives, progress)
            last = _verify_leaves(verdict, archives, public_key, progress)
            pending = pending_events_get(cursor)
            verdict.pending = pending.events
            verdict.divergences += pending_divergences(cursor, pending, last)
    if witness is not None:
        verdict.witness = WitnessComparison()
        # Read committed: each note of the file is compared with the checkpoints that are committed by then.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"{BUILT_INS_ONLY}; {_NO_ROW_SECURITY}")
            found = compare(witness, public_key, timezone.now(), verdict.witness)
            verdict.divergences += islice(found, _MOST_REPORTED)
            events = [*(archives.restores if archives else []), *restores.recorded_restores()]
            verdict.divergences += islice(restores.compare_closed_files(witness, events), _MOST_REPORTED)
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
    """Reads the archive files once, for the hash chains and for the leaves of their events."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.leaves = 0
        self.broken_files: list[Divergence] = []
        self.broken_leaves: list[Divergence] = []
        self.restores: list[dict[str, str]] = []

    def read(self, verifier: ChainVerifier) -> None:
        for month in read_archive.months_since(None):
            try:
                read_archive.check_digests([month], self._folder)
            except ArchiveMissing:
                self._report(month, f"the file {month.file_name} is not in the archive folder")
                continue
            except ArchiveChanged:
                self._report(month, f"{month.file_name} was changed")
            lines = read_archive.read_rows(month, self._folder)
            try:
                while batch := list(islice(lines, _LINES_AT_ONCE)):
                    for line in batch:
                        verifier.write(line)
                        if _RESTORED in line:
                            self.restores.append(json.loads(parse_event_row(line).envelope.payload))
                    self._compare_with_leaves(batch)
            except (EOFError, OSError, ValueError, zlib.error) as error:
                self._report(month, f"{month.file_name} cannot be read: {error}")
            verifier.finish()

    def _report(self, month: ArchivedPartition, message: str) -> None:
        self.broken_files.append(Divergence("archive", month.name, 0, message))

    def _compare_with_leaves(self, lines: list[bytes]) -> None:
        # The file's digest in the database proves nothing: an attacker who changes the file can change the digest.
        digests = {event_id_of(line): digest_of(line) for line in lines}
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT event_id::text, seal_no, event_hash FROM audit.audit_leaf WHERE event_id = ANY(%s::uuid[])",
                [list(digests)],
            )
            leaves = {event_id: (index, bytes(digest)) for event_id, index, digest in cursor.fetchall()}
        self.leaves += len(leaves)
        for event_id, digest in digests.items():
            index, logged = leaves.get(event_id, (0, b""))
            if logged != digest and len(self.broken_leaves) < _MOST_REPORTED:
                message = "was changed after it was sealed and archived" if logged else "is archived, and not sealed"
                self.broken_leaves.append(Divergence("seal", f"event {event_id}", index, message))


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


def _verify_leaves(
    verdict: Verdict, archives: _ArchivedMonths, public_key: Ed25519PublicKey, progress: Progress
) -> Checkpoint | None:
    """Returns the last checkpoint, or None if a checkpoint does not verify or there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_LEAVES_AND_STORED)
        verdict.leaves, stored = cursor.fetchone()
        last = _verify_tree(verdict, public_key, progress)
        cursor.execute(_BROKEN_LEAVES)
        for index, event_id, is_missing in cursor.fetchall():
            message = "was sealed and is gone" if is_missing else "was changed after it was sealed"
            verdict.divergences.append(Divergence("seal", f"event {event_id}", index, message))
        verdict.divergences += archives.broken_leaves
        lost = verdict.leaves - stored - archives.leaves
        if lost > 0:
            message = f"{lost} sealed events are neither in the table nor in an archive"
            verdict.divergences.append(Divergence("seal", "merkle tree", verdict.leaves, message))
    return last


def _verify_tree(verdict: Verdict, public_key: Ed25519PublicKey, progress: Progress) -> Checkpoint | None:
    """Verifies every checkpoint against the leaves, up to the first that does not verify: later ones grow from it."""
    tree = MerkleTree()
    signed: Checkpoint | None = None
    with connection.cursor() as cursor:
        for row in SignedCheckpoint.objects.order_by("tree_size").iterator():
            cursor.execute(
                "SELECT event_hash FROM audit.audit_leaf WHERE seal_no >= %s AND seal_no < %s ORDER BY seal_no",
                [tree.size, row.tree_size],
            )
            tree.extend(leaf_hash(bytes(digest)) for (digest,) in cursor.fetchall())
            progress("leaves", tree.size)
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
    if verdict.leaves > tree.size:
        message = f"{verdict.leaves - tree.size} sealed events are under no signed checkpoint"
        verdict.divergences.append(Divergence("seal", "merkle tree", tree.size, message))
    return signed


def _problem(row: SignedCheckpoint, signed: Checkpoint, tree: MerkleTree, before: Checkpoint | None) -> str:
    """What of a stored checkpoint does not match its signed note or the leaves; empty if everything does."""
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
