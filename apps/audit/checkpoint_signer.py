"""The checkpointer: appends settled events to the Merkle tree and signs a checkpoint of it.

It works asynchronously to the publishing of events. A lock admits one checkpointer at a time.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from apps.audit import checkpoints, witness
from apps.audit.checkpoints import OVERLAP, Checkpoint, InvalidCheckpoint
from apps.audit.merkle import MerkleTree, leaf_hash
from apps.audit.models import Leaf, SignedCheckpoint
from apps.audit.schema import BUILT_INS_ONLY
from apps.core.errors import PlatformError

BATCH = 5_000

_CHECKPOINTER_LOCK = 7_262_014

# How far the clocks of PostgreSQL and of this machine may differ.
_CLOCKS_DIFFER = timedelta(minutes=1)

# An event is settled once no transaction is open that could still add an older one. append_event takes the recording
# time after it has locked the aggregate, when its transaction has an id: a transaction without an id, such as a dump or
# a report, adds no event. The clock is read before the list of transactions: one that begins in between records a later
# time. Autovacuum adds no event, and may take hours.
_SETTLED_UNTIL = """
    SELECT least(%s, min(xact_start)) FROM pg_catalog.pg_stat_activity
     WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
       AND backend_type <> 'autovacuum worker'
"""

_PENDING = """
    SELECT e.event_id, e.recorded_at, e.hash
      FROM events.event e
     WHERE e.recorded_at > %s AND e.recorded_at <= %s
       AND NOT EXISTS (SELECT 1 FROM audit.audit_leaf l WHERE l.event_id = e.event_id)
     ORDER BY e.recorded_at, e.event_id LIMIT %s
"""

# Whether there are events after the last leaf, whatever the checkpoints say.
_HAS_PENDING = """
    SELECT EXISTS (SELECT 1 FROM events.event e
     WHERE e.recorded_at > least(clock_timestamp(), (SELECT recorded_at FROM audit.audit_leaf
                                                      ORDER BY seal_no DESC LIMIT 1)) - make_interval(secs => %s)
       AND NOT EXISTS (SELECT 1 FROM audit.audit_leaf l WHERE l.event_id = e.event_id))
"""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class CheckpointRefused(PlatformError):
    """The database does not match what was signed before: no checkpoint is signed on top of it."""

    code = "checkpoint_refused"
    http_status = 409


@dataclass(frozen=True)
class NewCheckpoint:
    """The number of events that it adds to the tree, and the signed note."""

    events: int
    note: str


@dataclass
class CheckpointSigner:
    """Creates checkpoint after checkpoint.

    It keeps in memory what it signed last and up to when it has read events, out of reach of changes in the database.
    An event that appears before that time is left out of the tree, so that verification reports it.
    """

    key: Ed25519PrivateKey
    witness: Path | None = None
    _signed: tuple[int, str] = field(default=(0, ""), init=False)
    _read_until: datetime = field(default=_BEGINNING, init=False)

    def advance(self, now: datetime) -> NewCheckpoint | None:
        """Creates a checkpoint over the events that have settled since the last one, at most 5 000; None if none have.

        Raises CheckpointRefused, OtherDatabase.
        """
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(BUILT_INS_ONLY)
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHECKPOINTER_LOCK])
            last = SignedCheckpoint.objects.order_by("-tree_size").first()
            try:
                tree, since = self._continue_from(last)
            except PlatformError:
                cursor.execute(_HAS_PENDING, [OVERLAP.total_seconds()])
                if cursor.fetchone()[0]:
                    raise
                return None
            settled_until = _settled_until(cursor, since, now)
            cursor.execute(_PENDING, [max(since, self._read_until) - OVERLAP, settled_until, BATCH])
            rows = cursor.fetchall()
            # After a full batch there may be more settled events: the next batch begins where this one ends.
            until = max(since, settled_until if len(rows) < BATCH else rows[-1][1])
            note = _append(tree, rows, until, self.key, now) if rows else ""
        self._read_until = max(self._read_until, until)
        if not rows:
            return None
        self._signed = tree.size, note
        return NewCheckpoint(events=len(rows), note=note)

    def _continue_from(self, last: SignedCheckpoint | None) -> tuple[MerkleTree, datetime]:
        """The tree of the last checkpoint, and the time up to which it has all events. Raises CheckpointRefused if the
        database, the witness and this process's memory do not agree on it."""
        size = last.tree_size if last else 0
        if self.witness is not None:
            witness.refuse_other_database(self.witness, size)
        signed_size, signed_note = self._signed
        if signed_size and not SignedCheckpoint.objects.filter(tree_size=signed_size, note=signed_note).exists():
            raise CheckpointRefused(
                f"The database does not have the checkpoint at size {signed_size} that this checkpointer signed: it "
                f"was set back or rewritten. {_ADVICE}"
            )
        last_leaf = Leaf.objects.order_by("-seal_no").values_list("seal_no", flat=True).first()
        if size != (0 if last_leaf is None else last_leaf + 1):
            raise CheckpointRefused(
                f"The last checkpoint has {size} events, the leaves end at another number. {_ADVICE}"
            )
        if last is None:
            return MerkleTree(), _BEGINNING
        checkpoint = _opened(last, self.key)
        tree = MerkleTree(size, [bytes(node) for node in last.frontier])
        for name, found, signed in (
            ("size", size, checkpoint.tree_size),
            ("frontier", (len(tree.frontier), tree.root), (size.bit_count(), checkpoint.root)),
            ("root", bytes(last.root), checkpoint.root),
            ("settled_until", last.settled_until, checkpoint.settled_until or last.settled_until),
        ):
            if found != signed:
                raise CheckpointRefused(
                    f"The column {name} of the last checkpoint, at size {size}, is not what was signed. {_ADVICE}"
                )
        return tree, checkpoint.settled_until or _settled_before_it_was_signed(last)


_ADVICE = "No checkpoint was signed: see `manage.py audit_verify`; after a restore, see `manage.py record_restore`."


def checkpoint_create(*, key: Ed25519PrivateKey, now: datetime) -> NewCheckpoint | None:
    """One step of a checkpointer without memory or witness. Raises CheckpointRefused."""
    return CheckpointSigner(key).advance(now)


def _opened(last: SignedCheckpoint, key: Ed25519PrivateKey) -> Checkpoint:
    try:
        return checkpoints.open_note(last.note, key.public_key())
    except InvalidCheckpoint as error:
        raise CheckpointRefused(f"{error.message} {_ADVICE}") from None


def _settled_before_it_was_signed(last: SignedCheckpoint) -> datetime:
    """The time up to which a checkpoint of version 1 has all events. Leaves are signed, `settled_until` is not."""
    newest = Leaf.objects.get(seal_no=last.tree_size - 1)
    return min(last.settled_until, newest.recorded_at)


def _settled_until(cursor: CursorWrapper, since: datetime, now: datetime) -> datetime:
    cursor.execute("SELECT clock_timestamp()")
    (clock,) = cursor.fetchone()
    if clock < since - OVERLAP:
        raise CheckpointRefused(
            f"The database's clock ({clock:%Y-%m-%d %H:%M:%S}) is behind the last checkpoint "
            f"({since:%Y-%m-%d %H:%M:%S}): set it right. No checkpoint is signed until it has passed that time."
        )
    if abs(clock - now) > _CLOCKS_DIFFER:
        raise CheckpointRefused(
            f"The clocks of the database ({clock:%Y-%m-%d %H:%M:%S}) and of the checkpointer "
            f"({now:%Y-%m-%d %H:%M:%S}) differ by more than a minute: set the wrong one right. No checkpoint is signed "
            "until then."
        )
    cursor.execute(_SETTLED_UNTIL, [clock])
    settled_until: datetime = cursor.fetchone()[0]
    return settled_until


def _append(
    tree: MerkleTree, rows: list[tuple[UUID, datetime, bytes]], until: datetime, key: Ed25519PrivateKey, now: datetime
) -> str:
    Leaf.objects.bulk_create(
        Leaf(seal_no=tree.size + position, event_id=event_id, recorded_at=recorded_at, event_hash=digest)
        for position, (event_id, recorded_at, digest) in enumerate(rows)
    )
    tree.extend(leaf_hash(bytes(digest)) for _, _, digest in rows)
    note = checkpoints.sign(Checkpoint(tree.size, tree.root, until), key)
    SignedCheckpoint.objects.create(
        tree_size=tree.size, root=tree.root, frontier=tree.frontier, note=note, settled_until=until, sealed_at=now
    )
    return note
