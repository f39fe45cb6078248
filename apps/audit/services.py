"""Sealing: puts settled events into the Merkle tree and signs its root. One sealer at a time, off the write path."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.db.models import Max

from apps.audit import checkpoints
from apps.audit.checkpoints import Checkpoint
from apps.audit.merkle import MerkleTree, leaf_hash
from apps.audit.models import Leaf, SealedCheckpoint

BATCH = 5_000

# Events that appear below the settled point, after a small step of the clock, are looked for this far back.
_OVERLAP = timedelta(minutes=2)

_SEALER_LOCK = 7_262_014

# An event is settled once no transaction that might still add an older one is open: numbers are drawn, and times
# taken, inside the transaction. Autovacuum adds none, and may take hours.
_SETTLED_UNTIL = """
    SELECT least(min(xact_start), clock_timestamp()) FROM pg_stat_activity
     WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
       AND backend_type <> 'autovacuum worker'
"""

_UNSEALED = """
    SELECT e.event_id, e.recorded_at, e.hash
      FROM events.event e
     WHERE e.recorded_at > %s AND e.recorded_at <= %s
       AND NOT EXISTS (SELECT 1 FROM audit.audit_leaf l WHERE l.event_id = e.event_id)
     ORDER BY e.recorded_at, e.event_id LIMIT %s
"""


@dataclass(frozen=True)
class Sealed:
    events: int
    note: str


@transaction.atomic
def seal(*, key: Ed25519PrivateKey, now: datetime) -> Sealed | None:
    """Seals what has settled since the last checkpoint, at most 5 000 events. None where there is nothing new."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SEALER_LOCK])
        last = SealedCheckpoint.objects.order_by("-tree_size").first()
        cursor.execute(_SETTLED_UNTIL)
        settled_until: datetime = cursor.fetchone()[0]
        since = last.settled_until - _OVERLAP if last else datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        cursor.execute(_UNSEALED, [since, settled_until, BATCH])
        rows = cursor.fetchall()
    if not rows:
        return None

    tree = MerkleTree(last.tree_size, [bytes(node) for node in last.frontier]) if last else MerkleTree()
    Leaf.objects.bulk_create(
        Leaf(seal_no=tree.size + position, event_id=event_id, recorded_at=recorded_at, event_hash=digest)
        for position, (event_id, recorded_at, digest) in enumerate(rows)
    )
    tree.extend(leaf_hash(bytes(digest)) for _, _, digest in rows)
    note = checkpoints.sign(Checkpoint(tree.size, tree.root), key)
    SealedCheckpoint.objects.create(
        tree_size=tree.size,
        root=tree.root,
        frontier=tree.frontier,
        note=note,
        # A full batch may have left settled events behind: the next one goes on where this one ended.
        settled_until=settled_until if len(rows) < BATCH else rows[-1][1],
        sealed_at=now,
    )
    return Sealed(events=len(rows), note=note)


def sealed_size() -> int:
    """How many events are sealed."""
    return SealedCheckpoint.objects.aggregate(size=Max("tree_size"))["size"] or 0
