"""A signed bundle of events that verifies offline: without our database, our code or our word.

A zip file with `events.copy` (records.COLUMNS, one event a line), `previous.json` (the hash of the event before each
one whose predecessor is not in the bundle), `seals.json` (each sealed event's place in the Merkle tree, its audit path
and the signed checkpoint), `manifest.json` (what is in it, and the SHA-256 of each file), `manifest.sig` (Ed25519 over
the manifest), `public_key.pem` and `verify_bundle.py`, which checks it all.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import mkstemp

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import transaction

from apps.audit import verify_bundle
from apps.audit.files import bring_to_disk, file_digest
from apps.audit.filters import EventFilter
from apps.audit.selection import Selection, StoreDoesNotVerify, select
from apps.audit.verify_bundle import FORMAT, BundleDoesNotVerify
from apps.core.ids import new_id
from apps.events.catalogue.audit import EventsExported
from apps.events.services import publish


@dataclass(frozen=True)
class Exported:
    path: Path
    events: int
    sealed: int
    sha256: str


def export(
    *,
    filters: EventFilter,
    path: Path,
    key: Ed25519PrivateKey,
    operator: str,
    now: datetime,
    archive_folder: Path | None = None,
) -> Exported:
    """Writes the bundle of all events that fit, archived ones too, to a file that only its owner may read.

    There is none whose `audit.exported` is not published. Raises NothingToExport, ArchiveMissing, ArchiveChanged,
    StoreDoesNotVerify, OSError.
    """
    selection = select(filters, archive_folder)
    files = _files(selection, filters, key, now)
    with _beside(path) as partial:
        _write(partial, files)
        _refuse_what_does_not_verify(partial, files["public_key.pem"])
        exported = EventsExported(
            export_id=new_id(),
            operator=operator,
            filters=filters.described(),
            events=len(selection.lines),
            sha256=file_digest(partial).hex(),
            exported_at=now,
        )
        with transaction.atomic():
            publish(exported, now=now)
        partial.replace(path)
        bring_to_disk(path.parent)
    return Exported(path, exported.events, len(selection.seals["events"]), exported.sha256)


def _files(selection: Selection, filters: EventFilter, key: Ed25519PrivateKey, now: datetime) -> dict[str, bytes]:
    files = {
        "events.copy": b"".join(selection.lines[place] for place in sorted(selection.lines)),
        "previous.json": json.dumps(selection.previous, indent=1).encode(),
        "seals.json": json.dumps(selection.seals, indent=1).encode(),
        "verify_bundle.py": Path(verify_bundle.__file__).read_bytes(),
        "public_key.pem": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }
    manifest = {
        "format": FORMAT,
        "exported_at": now.isoformat(),
        "filters": filters.described(),
        "events": len(selection.lines),
        "sealed": len(selection.seals["events"]),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    content = json.dumps(manifest, indent=1, sort_keys=True).encode()
    return {"manifest.json": content, "manifest.sig": key.sign(content), **files}


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """An empty file in the same folder that only its owner may read; gone afterwards, if it is still there."""
    descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _write(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    bring_to_disk(path)


def _refuse_what_does_not_verify(path: Path, public_key: bytes) -> None:
    try:
        verify_bundle.verify_bundle(path, public_key)
    except BundleDoesNotVerify as error:
        raise StoreDoesNotVerify(
            f"A bundle of these events would not verify: {error} Nothing was exported: see `manage.py audit_verify`."
        ) from None
