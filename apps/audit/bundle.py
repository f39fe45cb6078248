"""Export of a signed bundle of events that verifies offline, without the platform.

The bundle is a zip file, written as a stream:

* `events.copy`: one event row a line (event_row.COLUMNS), in the order of each aggregate;
* `previous.tsv`: line number and previous hash of each event whose predecessor is not on the line before it;
* `checkpoint.txt`: the last signed note;
* `seals.tsv`: leaf index and line number of each event in the Merkle tree;
* `proof.txt`: the other nodes that lead from these leaves to the checkpoint's root (merkle.ProofBuilder);
* `manifest.json`: filters, counts, and the SHA-256 of each file; `manifest.sig`: its Ed25519 signature;
* `public_key.pem`, and `verify_bundle.py`, which verifies bundles of this format and of the previous one.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import transaction

from apps.audit import checkpoints, read_archive, verify_bundle
from apps.audit.bundle_contents import EventWriter, StoreDoesNotVerify, write_events
from apps.audit.bundle_proof import LeafLines, write_proof
from apps.audit.files import atomic_private_file, file_digest, orphaned_partials, sync_to_disk
from apps.audit.filters import EventFilter
from apps.audit.models import SignedCheckpoint
from apps.audit.verify_bundle import FORMAT, BundleDoesNotVerify
from apps.core.ids import new_id
from apps.events.models import StoredEvent
from apps.events.store.publish import publish
from apps.messages.audit import EventsExported

_AT_ONCE = 2**18
# The content is mostly hexadecimal: higher levels take several times as long and save little.
_LEVEL = 1

# The present step, and the number of events that it has processed.
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Export:
    """The finished bundle. `leaves` is how many of its events are in the Merkle tree; `sha256` is hexadecimal."""

    path: Path
    events: int
    leaves: int
    sha256: str


def export(
    *,
    filters: EventFilter,
    path: Path,
    key: Ed25519PrivateKey,
    operator: str,
    now: datetime,
    archive_folder: Path | None = None,
    progress: Progress = lambda _step, _events: None,
) -> Export:
    """Writes a bundle of all events that match the filter, archived ones too, to a file with mode 0600.

    The file is complete, synced and verified before `audit.exported` is published, and is renamed to `path` after that,
    so that every bundle is on record. A crash between the two leaves a record of a bundle that was never handed out;
    `interrupted_exports` reports it. Raises NothingToExport, ArchiveMissing, ArchiveChanged, StoreDoesNotVerify,
    OSError.
    """
    export_id = new_id()
    with atomic_private_file(path, str(export_id)) as partial:
        _write(partial, filters=filters, key=key, now=now, archive_folder=archive_folder, progress=progress)
        found = _verified(partial, key, progress)
        exported = EventsExported(
            export_id=export_id,
            operator=operator,
            filters=filters.described(),
            events=found.events,
            sha256=file_digest(partial).hex(),
            exported_at=now,
        )
        sync_to_disk(partial)
        sync_to_disk(partial.parent)
        with transaction.atomic():
            publish(exported, now=now)
    return Export(path, found.events, found.leaves, exported.sha256)


def interrupted_exports(path: Path) -> Iterator[str]:
    """Removes the partial files that dead exports to this path left, and yields a sentence about each: whether it is
    in the audit log."""
    for partial, mark in orphaned_partials(path):
        try:
            export_id = UUID(mark)
        except ValueError:
            continue
        is_recorded = StoredEvent.objects.filter(aggregate_type="export", aggregate_id=export_id).exists()
        partial.unlink(missing_ok=True)
        yield (
            f"Export {mark} is in the audit log, and was cut short before its bundle got its name: what was left of "
            "it is removed."
            if is_recorded
            else f"An export was cut short before it was in the audit log: {partial.name} is removed."
        )


def _write(
    partial: Path,
    *,
    filters: EventFilter,
    key: Ed25519PrivateKey,
    now: datetime,
    archive_folder: Path | None,
    progress: Progress,
) -> None:
    with ExitStack() as stack:
        zip_file = stack.enter_context(zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL))
        bundle = _ZipWriter(zip_file)
        previous, leaves, proof, line_numbers = (
            stack.enter_context(TemporaryFile(dir=partial.parent)) for _ in range(4)
        )  # fmt: skip
        leaf_lines = LeafLines(line_numbers)
        with read_archive.consistent_snapshot() as cursor:
            last = SignedCheckpoint.objects.order_by("-tree_size").values_list("tree_size", "note").first()
            size, note = last or (0, "")
            with bundle.member("events.copy") as write_event:
                writer = EventWriter(
                    write_event, previous.write, leaf_lines, lambda events: progress("Reading", events)
                )
                write_events(
                    cursor, filters, writer, tree_size=size, archive_folder=archive_folder, spool_folder=partial.parent
                )
            if leaf_lines.count:
                root = write_proof(cursor, leaf_lines, tree_size=size, write_leaf=leaves.write, write_node=proof.write)
                _refuse_other_root(root, note, key)
        bundle.copy("previous.tsv", previous)
        bundle.copy("seals.tsv", leaves)
        bundle.copy("proof.txt", proof)
        bundle.add("checkpoint.txt", note.encode())
        bundle.add("verify_bundle.py", Path(verify_bundle.__file__).read_bytes())
        bundle.add("public_key.pem", _public_pem(key))
        manifest = {
            "format": FORMAT,
            "exported_at": now.isoformat(),
            "filters": filters.described(),
            "events": writer.events,
            "sealed": leaf_lines.count,
            "files": dict(bundle.digests),
        }
        content = json.dumps(manifest, indent=1, sort_keys=True).encode()
        bundle.add("manifest.json", content)
        bundle.add("manifest.sig", key.sign(content))


class _ZipWriter:
    """Writes a zip file one member after the other. `digests` has the hexadecimal SHA-256 of each."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self.digests: dict[str, str] = {}

    @contextmanager
    def member(self, name: str) -> Iterator[Callable[[bytes], None]]:
        digest, kept = hashlib.sha256(), bytearray()
        with self._file.open(name, "w", force_zip64=True) as member:

            def write(data: bytes) -> None:
                kept.extend(data)
                if len(kept) >= _AT_ONCE:
                    digest.update(kept)
                    member.write(kept)
                    kept.clear()

            yield write
            digest.update(kept)
            member.write(kept)
        self.digests[name] = digest.hexdigest()

    def add(self, name: str, content: bytes) -> None:
        with self.member(name) as write:
            write(content)

    def copy(self, name: str, source: IO[bytes]) -> None:
        source.seek(0)
        with self.member(name) as write:
            while data := source.read(_AT_ONCE):
                write(data)


def _refuse_other_root(root: bytes, note: str, key: Ed25519PrivateKey) -> None:
    try:
        is_the_same = checkpoints.open_note(note, key.public_key()).root == root
    except checkpoints.InvalidCheckpoint as error:
        raise StoreDoesNotVerify(f"{error.message} Nothing was exported: see `manage.py audit_verify`.") from None
    if not is_the_same:
        raise StoreDoesNotVerify(
            "The sealed events are not those of the signed checkpoint. Nothing was exported: see `manage.py "
            "audit_verify`."
        )


def _public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _verified(path: Path, key: Ed25519PrivateKey, progress: Progress) -> verify_bundle.Verified:
    try:
        return verify_bundle.verify_bundle(path, _public_pem(key), lambda events, _of: progress("Verifying", events))
    except BundleDoesNotVerify as error:
        raise StoreDoesNotVerify(
            f"A bundle of these events would not verify: {error} Nothing was exported: see `manage.py audit_verify`."
        ) from None
