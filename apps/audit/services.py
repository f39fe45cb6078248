"""Sealing: puts settled events into the Merkle tree and signs its root. One sealer at a time, off the write path."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Max

from apps.audit import checkpoints, witness
from apps.audit.checkpoints import OVERLAP, Checkpoint, InvalidCheckpoint
from apps.audit.merkle import MerkleTree, leaf_hash
from apps.audit.models import Leaf, SealedCheckpoint
from apps.core.errors import PlatformError

BATCH = 5_000

_SEALER_LOCK = 7_262_014

# How far the clocks of PostgreSQL and of this machine may differ.
_CLOCKS_DIFFER = timedelta(minutes=1)

# What the database's owner could put in front of PostgreSQL's own functions and operators is not looked at.
_OWN_FUNCTIONS_ONLY = "SET LOCAL search_path = pg_catalog, audit, pg_temp"

# An event is settled once no transaction that might still add an older one is open. append_event takes the time after
# it has locked the aggregate, that is after its transaction has a number: one without a number, such as a dump or a
# report, adds none. The clock is read before the transactions: one that begins in between records later than that.
# Autovacuum adds none, and may take hours.
_SETTLED_UNTIL = """
    SELECT least(%s, min(xact_start)) FROM pg_catalog.pg_stat_activity
     WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
       AND backend_type <> 'autovacuum worker'
"""

_UNSEALED = """
    SELECT e.event_id, e.recorded_at, e.hash
      FROM events.event e
     WHERE e.recorded_at > %s AND e.recorded_at <= %s
       AND NOT EXISTS (SELECT 1 FROM audit.audit_leaf l WHERE l.event_id = e.event_id)
     ORDER BY e.recorded_at, e.event_id LIMIT %s
"""

# Whatever the checkpoints say: has anything come after the last leaf?
_SOMETHING_NEW = """
    SELECT EXISTS (SELECT 1 FROM events.event e
     WHERE e.recorded_at > least(clock_timestamp(), (SELECT recorded_at FROM audit.audit_leaf
                                                      ORDER BY seal_no DESC LIMIT 1)) - make_interval(secs => %s)
       AND NOT EXISTS (SELECT 1 FROM audit.audit_leaf l WHERE l.event_id = e.event_id))
"""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class SealingRefused(PlatformError):
    """What the database holds is not what was signed before: nothing is signed on top of it."""

    code = "sealing_refused"
    http_status = 409


@dataclass(frozen=True)
class Sealed:
    events: int
    note: str


@dataclass
class Sealer:
    """Seals step after step. It remembers what it has signed and how far it has looked, which nothing in the database
    can change: an event that appears before that is left unsealed, for the verification to name."""

    key: Ed25519PrivateKey
    witness: Path | None = None
    _signed: tuple[int, str] = field(default=(0, ""), init=False)
    _looked_until: datetime = field(default=_BEGINNING, init=False)

    def seal(self, now: datetime) -> Sealed | None:
        """Seals what has settled since the last checkpoint, at most 5 000 events. None where there is nothing new.

        Raises SealingRefused, OtherDatabase.
        """
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_OWN_FUNCTIONS_ONLY)
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SEALER_LOCK])
            last = SealedCheckpoint.objects.order_by("-tree_size").first()
            try:
                tree, since = self._continue_from(last)
            except PlatformError:
                cursor.execute(_SOMETHING_NEW, [OVERLAP.total_seconds()])
                if cursor.fetchone()[0]:
                    raise
                return None
            settled_until = _settled_until(cursor, since, now)
            cursor.execute(_UNSEALED, [max(since, self._looked_until) - OVERLAP, settled_until, BATCH])
            rows = cursor.fetchall()
            # A full batch may have left settled events behind: the next one goes on where this one ended.
            until = max(since, settled_until if len(rows) < BATCH else rows[-1][1])
            note = _append(tree, rows, until, self.key, now) if rows else ""
        self._looked_until = max(self._looked_until, until)
        if not rows:
            return None
        self._signed = tree.size, note
        return Sealed(events=len(rows), note=note)

    def _continue_from(self, last: SealedCheckpoint | None) -> tuple[MerkleTree, datetime]:
        """The tree of the last checkpoint, and up to when it has all events."""
        size = last.tree_size if last else 0
        if self.witness is not None:
            witness.refuse_other_database(self.witness, size)
        signed_size, signed_note = self._signed
        if signed_size and not SealedCheckpoint.objects.filter(tree_size=signed_size, note=signed_note).exists():
            raise SealingRefused(
                f"The database does not have the checkpoint at size {signed_size} that this sealer signed: it was set "
                f"back or rewritten. {_ADVICE}"
            )
        sealed = Leaf.objects.aggregate(last=Max("seal_no"))["last"]
        if size != (0 if sealed is None else sealed + 1):
            raise SealingRefused(f"The last checkpoint has {size} events, the seals end at another number. {_ADVICE}")
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
                raise SealingRefused(
                    f"The column {name} of the last checkpoint, at size {size}, is not what was signed. {_ADVICE}"
                )
        return tree, checkpoint.settled_until or _settled_before_it_was_signed(last)


_ADVICE = "Nothing was sealed: see `manage.py audit_verify`; after a restore, see `manage.py record_restore`."


def seal(*, key: Ed25519PrivateKey, now: datetime) -> Sealed | None:
    """One step of a sealer that remembers nothing. Raises SealingRefused."""
    return Sealer(key).seal(now)


def sealed_size() -> int:
    """How many events are sealed."""
    return SealedCheckpoint.objects.aggregate(size=Max("tree_size"))["size"] or 0


def _opened(last: SealedCheckpoint, key: Ed25519PrivateKey) -> Checkpoint:
    try:
        return checkpoints.open_note(last.note, key.public_key())
    except InvalidCheckpoint as error:
        raise SealingRefused(f"{error.message} {_ADVICE}") from None


def _settled_before_it_was_signed(last: SealedCheckpoint) -> datetime:
    """Up to when a checkpoint of version 1 has all events: its column is under no signature, its events are."""
    newest = Leaf.objects.get(seal_no=last.tree_size - 1)
    return min(last.settled_until, newest.recorded_at)


def _settled_until(cursor: CursorWrapper, since: datetime, now: datetime) -> datetime:
    cursor.execute("SELECT clock_timestamp()")
    (clock,) = cursor.fetchone()
    if clock < since - OVERLAP:
        raise SealingRefused(
            f"The database's clock ({clock:%Y-%m-%d %H:%M:%S}) is behind the last checkpoint "
            f"({since:%Y-%m-%d %H:%M:%S}): set it right. Nothing is sealed until it has passed that time."
        )
    if abs(clock - now) > _CLOCKS_DIFFER:
        raise SealingRefused(
            f"The clocks of the database ({clock:%Y-%m-%d %H:%M:%S}) and of the sealer ({now:%Y-%m-%d %H:%M:%S}) "
            "differ by more than a minute: set the wrong one right. Nothing is sealed until then."
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
    SealedCheckpoint.objects.create(
        tree_size=tree.size, root=tree.root, frontier=tree.frontier, note=note, settled_until=until, sealed_at=now
    )
    return note
