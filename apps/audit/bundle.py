"""A signed bundle of events that verifies offline: without our database, our code or our word.

A zip file with `events.copy` (records.COLUMNS, one event a line), `seals.json` (each sealed event's place in the Merkle
tree, its audit path and the signed checkpoint), `manifest.json` (what is in it, and the SHA-256 of each file),
`manifest.sig` (Ed25519 over the manifest), `public_key.pem` and `verify_bundle.py`, which checks it all.
"""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import connection, transaction

from apps.audit import verify_bundle
from apps.audit.filters import EventFilter
from apps.audit.merkle import inclusion_proof, leaf_hash, tree_levels
from apps.audit.models import SealedCheckpoint
from apps.audit.records import COLUMNS, parse_record
from apps.core.errors import PlatformError

FORMAT = "muckard-audit-bundle/1"


class NothingToExport(PlatformError):
    """No event fits the filter."""

    code = "nothing_to_export"
    http_status = 404


@dataclass(frozen=True)
class Exported:
    path: Path
    events: int
    sealed: int


def export(*, filters: EventFilter, path: Path, key: Ed25519PrivateKey, now: datetime) -> Exported:
    """Writes the bundle of all events that fit, from one snapshot of the live event store. Raises NothingToExport."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        where, parameters = filters.sql()
        query = cursor.cursor.mogrify(
            f"COPY (SELECT {COLUMNS} FROM events.event WHERE {where} "  # noqa: S608
            "ORDER BY aggregate_type, aggregate_id, aggregate_seq) TO STDOUT WITH (NULL '')",
            parameters,
        )
        lines = io.BytesIO()
        cursor.cursor.copy_expert(query.decode(), lines)
        if not lines.tell():
            raise NothingToExport("No event fits the filter.")
        records = [parse_record(line) for line in lines.getvalue().splitlines()]
        seals = _seals([record.envelope.event_id for record in records])

    files = {
        "events.copy": lines.getvalue(),
        "seals.json": json.dumps(seals, indent=1).encode(),
        "verify_bundle.py": Path(verify_bundle.__file__).read_bytes(),
        "public_key.pem": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }
    manifest = {
        "format": FORMAT,
        "exported_at": now.isoformat(),
        "filters": filters.described(),
        "events": len(records),
        "sealed": len(seals["events"]),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    manifest_bytes = json.dumps(manifest, indent=1, sort_keys=True).encode()
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("manifest.json", manifest_bytes)
        bundle.writestr("manifest.sig", key.sign(manifest_bytes))
        for name, content in files.items():
            bundle.writestr(name, content)
    return Exported(path=path, events=len(records), sealed=len(seals["events"]))


def _seals(event_ids: list[Any]) -> dict[str, Any]:
    last = SealedCheckpoint.objects.order_by("-tree_size").first()
    if last is None:
        return {"note": "", "events": {}}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT event_id, event_hash FROM audit.audit_leaf WHERE seal_no < %s ORDER BY seal_no", [last.tree_size]
        )
        rows = cursor.fetchall()
    levels = tree_levels([leaf_hash(bytes(digest)) for _, digest in rows])
    position = {event_id: index for index, (event_id, _) in enumerate(rows)}
    proofs = {}
    for event_id in event_ids:
        if event_id in position:
            index = position[event_id]
            proof = inclusion_proof(levels, index)
            proofs[str(event_id)] = {"index": index, "proof": [node.hex() for node in proof]}
    return {"note": last.note, "events": proofs}
