"""Where an event stands in its hash chain and in the signed log, checked when it is looked at."""

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from django.conf import settings
from django.db import connection

from apps.audit import checkpoints
from apps.audit.chains import ChainVerifier
from apps.audit.event_row import COLUMNS
from apps.audit.models import Leaf, SignedCheckpoint
from apps.events.models import EventStream, StoredEvent


@dataclass(frozen=True)
class Proof:
    """`chain` and `signature` are sentences; `holds` is False where something is not what was written. `leaf` is the
    index in the Merkle tree, `signed_at` when the first checkpoint over it was signed."""

    chain: str
    signature: str
    holds: bool
    last_seq: int
    previous_hash: str = ""
    leaf: int | None = None
    tree_size: int | None = None
    signed_at: datetime | None = None


def event_proof(event: StoredEvent) -> Proof:
    """Recomputes the event's hash from the one before it, and checks the signature of the first checkpoint over it.

    Raises DatabaseError. `manage.py audit_verify` checks everything: that the tree has this leaf, and the witness.
    """
    stream = EventStream.objects.filter(aggregate_type=event.aggregate_type, aggregate_id=event.aggregate_id).first()
    last_seq = stream.last_seq if stream else 0
    previous = b""
    if event.aggregate_seq > 1:
        before = StoredEvent.objects.filter(
            aggregate_type=event.aggregate_type, aggregate_id=event.aggregate_id, aggregate_seq=event.aggregate_seq - 1
        ).first()
        if before is None:
            chain = "The event before it is in an archived month: see `manage.py audit_verify --archive`."
            return _signed(event, chain, holds=True, last_seq=last_seq, previous=b"")
        previous = bytes(before.hash)
    if _hash_holds(event, previous):
        return _signed(event, "Its hash follows from the one before it.", True, last_seq, previous)
    return _signed(event, "Its hash does NOT follow: run `manage.py audit_verify`.", False, last_seq, previous)


def _hash_holds(event: StoredEvent, previous: bytes) -> bool:
    aggregate = f"{event.aggregate_type}/{event.aggregate_id}".encode()
    verifier = ChainVerifier(heads={aggregate: (event.aggregate_seq - 1, previous)})
    row = BytesIO()
    with connection.cursor() as cursor:
        statement = cursor.mogrify(
            f"COPY (SELECT {COLUMNS} FROM events.event WHERE event_id = %s AND recorded_at = %s) TO STDOUT",  # noqa: S608  # nosec B608
            [event.event_id, event.recorded_at],
        )
        cursor.copy_expert(statement, row)
    verifier.write(row.getvalue())
    return not verifier.divergences


def _signed(event: StoredEvent, chain: str, holds: bool, last_seq: int, previous: bytes) -> Proof:
    leaf = Leaf.objects.filter(event_id=event.event_id).first()
    if leaf is None:
        signature = "Not under a signed checkpoint yet."
        return Proof(chain, signature, holds, last_seq, previous.hex())
    if bytes(leaf.event_hash) != bytes(event.hash):
        signature = "The signed log has ANOTHER hash for it: run `manage.py audit_verify`."
        return Proof(chain, signature, False, last_seq, previous.hex(), leaf.seal_no)
    over = SignedCheckpoint.objects.filter(tree_size__gt=leaf.seal_no).order_by("tree_size").first()
    if over is None:
        signature = "A leaf of the signed log, under no checkpoint yet."
        return Proof(chain, signature, holds, last_seq, previous.hex(), leaf.seal_no)
    signature, is_good = _checkpoint_says(over)
    return Proof(
        chain, signature, holds and is_good, last_seq, previous.hex(), leaf.seal_no, over.tree_size, over.sealed_at
    )


def _checkpoint_says(over: SignedCheckpoint) -> tuple[str, bool]:
    pem = settings.ENVIRONMENT.audit_public_key
    if pem is None:
        return "Under a signed checkpoint; this process has no key to check its signature with.", True
    try:
        checkpoints.open_note(over.note, checkpoints.public_key(pem.get_secret_value()))
    except checkpoints.InvalidCheckpoint as error:
        return f"Under a checkpoint whose signature does NOT hold: {error.message}", False
    return "Under a signed checkpoint whose signature holds.", True
