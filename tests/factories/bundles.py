"""Audit bundles of both formats, made without the platform's own exporter, and what can be done to them."""

import base64
import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apps.audit import verify_bundle
from apps.audit.checkpoints import Checkpoint, sign
from apps.audit.merkle import ProofBuilder, leaf_hash

AGGREGATES, EVENTS_OF_EACH = 3, 4


@dataclass(frozen=True)
class Line:
    event_id: str
    text: bytes
    digest: bytes


def event_lines() -> list[Line]:
    """Three users with four events each."""
    lines = []
    for aggregate in range(1, AGGREGATES + 1):
        before = b""
        for number in range(1, EVENTS_OF_EACH + 1):
            event_id, user_id = str(UUID(int=aggregate * 100 + number)), str(UUID(int=aggregate))
            head = "\t".join(
                [event_id, "user.updated", "1", "user", user_id, str(number), "1700000000000000", "1700000000000001",
                 user_id, event_id, "", ""]
            ).encode()  # fmt: skip
            payload = b'{"changed":["name"]}'
            before = hashlib.sha256(before + head + b"\t" + payload).digest()
            text = b"\t".join([head, rb"\\x" + payload.hex().encode(), rb"\\x" + before.hex().encode()]) + b"\n"
            lines.append(Line(event_id, text, before))
    return lines


def members(key: Ed25519PrivateKey, *, version: int = 3, without: int | None = None) -> dict[str, bytes]:
    """The files of a bundle whose events are all in the tree; `without` leaves one out, by its index from 0."""
    lines = event_lines()
    digests = [line.digest for line in lines]
    kept = [number for number in range(len(lines)) if number != without]
    note = sign(Checkpoint(len(lines), _proof(digests, set(kept))[0]), key)
    lacking = [place for place, number in enumerate(kept) if number % EVENTS_OF_EACH and number - 1 == without]
    files = {"events.copy": b"".join(lines[number].text for number in kept)}
    if version == 3:
        files["previous.tsv"] = b"".join(b"%d\t%s\n" % (p + 1, digests[kept[p] - 1].hex().encode()) for p in lacking)
        files["seals.tsv"] = b"".join(b"%d\t%d\n" % (number, place + 1) for place, number in enumerate(kept))
        files["proof.txt"] = b"".join(node.hex().encode() + b"\n" for node in _proof(digests, set(kept))[1])
        files["checkpoint.txt"] = note.encode()
    else:
        seals = {
            lines[n].event_id: {"index": n, "proof": [node.hex() for node in _proof(digests, {n})[1]]} for n in kept
        }
        before = {lines[kept[p]].event_id: digests[kept[p] - 1].hex() for p in lacking}
        files["previous.json"] = json.dumps(before).encode()
        files["seals.json"] = json.dumps({"note": note, "events": seals}).encode()
    files["verify_bundle.py"] = Path(verify_bundle.__file__).read_bytes()
    files["public_key.pem"] = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    told = {"format": f"muckard-audit-bundle/{version}", "filters": {}, "events": len(kept), "sealed": len(kept)}
    return signed(files, key, told)


def signed(files: dict[str, bytes], key: Ed25519PrivateKey, manifest: dict[str, Any]) -> dict[str, bytes]:
    """The files with a manifest that fits them, as an owner of the key can make it."""
    files = {name: content for name, content in files.items() if not name.startswith("manifest.")}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    content = json.dumps({**manifest, "files": digests}).encode()
    return {**files, "manifest.json": content, "manifest.sig": key.sign(content)}


def resigned(files: dict[str, bytes], key: Ed25519PrivateKey, **changed: Any) -> dict[str, bytes]:
    return signed(files, key, {**json.loads(files["manifest.json"]), **changed})


def write(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return path


def other_note(files: dict[str, bytes], key: Ed25519PrivateKey, *, origin: str) -> bytes:
    """The bundle's checkpoint, signed for another log."""
    size, root = files["checkpoint.txt"].decode().split("\n")[1:3]
    text = f"{origin}\n{size}\n{root}\n"
    signature = base64.b64encode(b"\0\0\0\0" + key.sign(text.encode())).decode()
    return f"{text}\n— {origin} {signature}\n".encode()


def _proof(digests: list[bytes], wanted: set[int]) -> tuple[bytes, list[bytes]]:
    nodes: list[bytes] = []
    proof = ProofBuilder(nodes.append)
    for index, digest in enumerate(digests):
        proof.append(leaf_hash(digest), is_wanted=index in wanted)
    return proof.finish(), nodes
