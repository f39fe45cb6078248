"""Proves the event store whole: chains, chain heads, seals, signatures, and what is kept outside the database."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connection

from apps.audit import archived, checkpoints
from apps.audit.archived import ArchiveChanged, ArchiveMissing
from apps.audit.chains import ChainVerifier, Divergence
from apps.audit.checkpoints import InvalidCheckpoint
from apps.audit.merkle import MerkleTree, leaf_hash
from apps.audit.models import ArchivedPartition, SealedCheckpoint
from apps.audit.records import COLUMNS, digest_of, event_id_of
from apps.audit.witness import compare

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
    divergences: list[Divergence] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.divergences


Progress = Callable[[str, int], None]


def verify(
    *,
    public_key: Ed25519PublicKey,
    archive_folder: Path | None = None,
    witness: Path | None = None,
    progress: Progress = lambda _step, _done: None,
) -> Verdict:
    """Reads one consistent snapshot and recomputes everything. `witness` is a file of notes kept elsewhere."""
    verdict = Verdict()
    with archived.at_one_moment():
        archives = _ArchivedMonths(archive_folder)
        _verify_chains(verdict, archives, progress)
        _verify_seals(verdict, archives, public_key, progress)
    if witness is not None:
        verdict.divergences += islice(compare(witness, public_key), _MOST_REPORTED)
    return verdict


class _ArchivedMonths:
    """Reads the files once, for the chains and for the seals of their events."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.sealed = 0
        self.broken_files: list[Divergence] = []
        self.broken_seals: list[Divergence] = []

    def read(self, verifier: ChainVerifier) -> None:
        for month in archived.months_since(None):
            try:
                archived.refuse_changed([month], self._folder)
            except ArchiveMissing:
                self._name(month, f"the file {month.file_name} is not in the archive folder")
                continue
            except ArchiveChanged:
                self._name(month, f"{month.file_name} was changed")
            lines = archived.lines_of(month, self._folder)
            try:
                while batch := list(islice(lines, _LINES_AT_ONCE)):
                    for line in batch:
                        verifier.write(line)
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
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SEALED_AND_STORED)
        verdict.sealed, stored = cursor.fetchone()
        _verify_tree(verdict, public_key, progress)
        cursor.execute(_BROKEN_SEALS)
        for seal_no, event_id, is_missing in cursor.fetchall():
            message = "was sealed and is gone" if is_missing else "was changed after it was sealed"
            verdict.divergences.append(Divergence("seal", f"event {event_id}", seal_no, message))
        verdict.divergences += archives.broken_seals
        lost = verdict.sealed - stored - archives.sealed
        if lost > 0:
            message = f"{lost} sealed events are neither in the table nor in an archive"
            verdict.divergences.append(Divergence("seal", "merkle tree", verdict.sealed, message))
        cursor.execute(
            "SELECT count(*) FROM events.event e WHERE NOT EXISTS "
            "(SELECT 1 FROM audit.audit_leaf l WHERE l.event_id = e.event_id)"
        )
        verdict.unsealed = cursor.fetchone()[0]


def _verify_tree(verdict: Verdict, public_key: Ed25519PublicKey, progress: Progress) -> None:
    """Up to the first checkpoint that is not what was signed: all later ones grow from it."""
    tree = MerkleTree()
    with connection.cursor() as cursor:
        for checkpoint in SealedCheckpoint.objects.order_by("tree_size").iterator():
            cursor.execute(
                "SELECT event_hash FROM audit.audit_leaf WHERE seal_no >= %s AND seal_no < %s ORDER BY seal_no",
                [tree.size, checkpoint.tree_size],
            )
            tree.extend(leaf_hash(bytes(digest)) for (digest,) in cursor.fetchall())
            progress("seals", tree.size)
            verdict.checkpoints += 1
            divergence = _check_note(checkpoint.note, tree, public_key)
            if divergence:
                verdict.divergences.append(divergence)
                return
    if verdict.sealed > tree.size:
        message = f"{verdict.sealed - tree.size} sealed events are under no signed checkpoint"
        verdict.divergences.append(Divergence("seal", "merkle tree", tree.size, message))


def _check_note(note: str, tree: MerkleTree, public_key: Ed25519PublicKey) -> Divergence | None:
    try:
        sealed = checkpoints.open_note(note, public_key)
    except InvalidCheckpoint as error:
        return Divergence("checkpoint", "merkle tree", tree.size, error.message)
    if sealed.tree_size != tree.size:
        return Divergence(
            "seal", "merkle tree", tree.size, f"{sealed.tree_size} events were sealed, {tree.size} are left"
        )
    if sealed.root != tree.root:
        return Divergence("seal", "merkle tree", tree.size, "the sealed events are not those that were signed")
    return None
