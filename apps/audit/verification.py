"""Proves the event store whole: chains, chain heads, seals, signatures, and what is kept outside the database."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connection, transaction

from apps.audit import archived, checkpoints
from apps.audit.archived import ArchiveChanged, ArchiveMissing
from apps.audit.chains import ChainVerifier, Divergence
from apps.audit.checkpoints import InvalidCheckpoint
from apps.audit.merkle import MerkleTree, leaf_hash
from apps.audit.models import ArchivedPartition, SealedCheckpoint
from apps.audit.records import COLUMNS
from apps.audit.services import sealed_size
from apps.audit.witness import WitnessDamaged, notes

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

_NOTES_AT_ONCE = 1_000
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
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        _verify_chains(verdict, archive_folder, progress)
        _verify_seals(verdict, public_key, progress)
    if witness is not None:
        verdict.divergences += islice(_compare_with_witness(witness, public_key), _MOST_REPORTED)
    return verdict


def _verify_chains(verdict: Verdict, archive_folder: Path | None, progress: Progress) -> None:
    verifier = ChainVerifier(progress=lambda events: progress("chains", events))
    for month in archived.months_since(None):
        _read_archive(verifier, month, archive_folder, verdict)
        verifier.finish()

    with connection.cursor() as cursor:
        cursor.cursor.copy_expert(ALL_EVENTS, verifier)
        heads = verifier.finish()
        cursor.execute(_HEADS)
        stored = {name.encode(): (sequence, bytes(digest)) for name, sequence, digest in cursor.fetchall()}
    verdict.events, verdict.aggregates = verifier.events, len(heads)
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


def _read_archive(verifier: ChainVerifier, month: ArchivedPartition, folder: Path | None, verdict: Verdict) -> None:
    try:
        archived.refuse_changed([month], folder)
    except ArchiveMissing:
        message = f"the file {month.file_name} is not in the archive folder"
        verdict.divergences.append(Divergence("archive", month.name, 0, message))
        return
    except ArchiveChanged:
        verdict.divergences.append(Divergence("archive", month.name, 0, f"{month.file_name} was changed"))
    try:
        for line in archived.lines_of(month, folder):
            verifier.write(line)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        verdict.divergences.append(Divergence("archive", month.name, 0, f"{month.file_name} cannot be read: {error}"))


def _verify_seals(verdict: Verdict, public_key: Ed25519PublicKey, progress: Progress) -> None:
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
                break
        cursor.execute(_BROKEN_SEALS)
        for seal_no, event_id, is_missing in cursor.fetchall():
            message = "was sealed and is gone" if is_missing else "was changed after it was sealed"
            verdict.divergences.append(Divergence("seal", f"event {event_id}", seal_no, message))
        cursor.execute("SELECT count(*) FROM audit.audit_leaf")
        verdict.sealed = cursor.fetchone()[0]
        cursor.execute(
            "SELECT count(*) FROM events.event e WHERE NOT EXISTS "
            "(SELECT 1 FROM audit.audit_leaf l WHERE l.event_id = e.event_id)"
        )
        verdict.unsealed = cursor.fetchone()[0]


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


def _compare_with_witness(witness: Path, public_key: Ed25519PublicKey) -> Iterator[Divergence]:
    """Outside the snapshot, each note read before it is looked for: what the file has was committed by then.

    Whole notes are compared, for they are what _verify_seals has proved; the columns beside them are not.
    """
    if not witness.is_file():
        yield Divergence("witness", witness.name, 0, "there is no such file")
        return
    numbered = enumerate(_notes_until_damage(witness), 1)
    set_back: Divergence | None = None
    while batch := list(islice(numbered, _NOTES_AT_ONCE)):
        seen: dict[int, tuple[int, str]] = {}
        for number, note in batch:
            try:
                seen[number] = (checkpoints.open_note(note, public_key).tree_size, note)
            except InvalidCheckpoint as error:
                yield Divergence("witness", witness.name, number, error.message)
        rows = SealedCheckpoint.objects.filter(tree_size__in=[size for size, _ in seen.values()])
        stored = dict(rows.values_list("tree_size", "note"))
        ends_at = sealed_size()
        for number, (size, note) in seen.items():
            if size > ends_at:
                message = f"the witness saw {size} sealed events, the database ends at {ends_at}: it was set back"
                set_back = Divergence("witness", witness.name, number, message)
            elif stored.get(size) != note:
                message = f"the database does not have the checkpoint at size {size} that the witness saw"
                yield Divergence("witness", witness.name, number, message)
    if set_back is not None:
        yield set_back


def _notes_until_damage(witness: Path) -> Iterator[str]:
    """The notes; at the end what no checkpoint can be, where something else than notes stands in the file."""
    try:
        yield from notes(witness)
    except WitnessDamaged:
        yield ""
