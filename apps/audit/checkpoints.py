"""Signed checkpoints: tree size and root as a C2SP signed note (https://c2sp.org/tlog-checkpoint).

A note that is kept outside the database proves that the events under it have not changed, without trust in the
database.

The note has two versions. Version 1 has three lines: origin, tree size, root. Version 2 adds an extension line
`settled-until=2026-01-31T12:00:00.000000Z`: every event recorded up to that time, less `OVERLAP`, is in the tree.
Both versions verify. The checkpointer writes version 2, and never version 1 after it.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from apps.core.errors import PlatformError

ORIGIN = "muckard/audit"

# How far before the settled time the checkpointer looks for events: a small clock step can date an event back.
OVERLAP = timedelta(minutes=2)

_SETTLED_UNTIL = "settled-until="
_ED25519 = b"\x01"


class InvalidCheckpoint(PlatformError):
    """A note is malformed, or its signature is not valid for the platform's key."""

    code = "invalid_checkpoint"
    http_status = 422


@dataclass(frozen=True)
class Checkpoint:
    """Tree size, root hash, and `settled_until` (None in notes of version 1)."""

    tree_size: int
    root: bytes
    settled_until: datetime | None = None

    @property
    def text(self) -> str:
        text = f"{ORIGIN}\n{self.tree_size}\n{base64.b64encode(self.root).decode()}\n"
        if self.settled_until is None:
            return text
        moment = self.settled_until.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        return f"{text}{_SETTLED_UNTIL}{moment}Z\n"


def signing_key(pem: str) -> Ed25519PrivateKey:
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidCheckpoint("MUCKARD_AUDIT_SIGNING_KEY must be an Ed25519 key: openssl genpkey -algorithm ed25519")
    return key


def public_key(pem: str) -> Ed25519PublicKey:
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidCheckpoint("The audit public key must be an Ed25519 key.")
    return key


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """The signed note: text, empty line, one signature line."""
    signature = key_id(key.public_key()) + key.sign(checkpoint.text.encode())
    return f"{checkpoint.text}\n— {ORIGIN} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, key: Ed25519PublicKey) -> Checkpoint:
    """The checkpoint of a note whose signature holds. Raises InvalidCheckpoint."""
    try:
        text, _, signature_line = note.partition("\n\n")
        origin, size, root, *extensions = text.split("\n")
        dash, name, encoded = signature_line.strip().split(" ")
        signature = base64.b64decode(encoded, validate=True)
        checkpoint = Checkpoint(int(size), base64.b64decode(root, validate=True), _settled_until(extensions))
    except ValueError:
        raise InvalidCheckpoint("This is not a signed checkpoint.") from None
    if (origin, dash, name) != (ORIGIN, "—", ORIGIN) or signature[:4] != key_id(key):
        raise InvalidCheckpoint("The checkpoint was signed by another key or for another log.")
    try:
        # The signature is checked over the re-encoded checkpoint: the note may hold nothing else.
        key.verify(signature[4:], checkpoint.text.encode())
    except InvalidSignature:
        raise InvalidCheckpoint(
            f"The signature of the checkpoint at size {checkpoint.tree_size} does not hold."
        ) from None
    return checkpoint


def _settled_until(extensions: list[str]) -> datetime | None:
    if not extensions:
        return None
    (line,) = extensions
    if not line.startswith(_SETTLED_UNTIL):
        raise ValueError(line)
    return datetime.fromisoformat(line.removeprefix(_SETTLED_UNTIL))


def key_id(key: Ed25519PublicKey) -> bytes:
    """The four bytes that name a key in a signed note (https://c2sp.org/signed-note)."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(ORIGIN.encode() + b"\n" + _ED25519 + raw).digest()[:4]
