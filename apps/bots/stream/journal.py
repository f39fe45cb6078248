"""The journal of changes: positions that become visible in their order, whatever order transactions commit in.

Transactions write notes with ids of a sequence, and one that commits late shows a lower id after a higher one. A reader
with a cursor over these would lose it. So the notes are only what waits: whoever moves them into the journal locks the
head, takes what has committed, and gives it the next positions. Notes that commit later are moved later.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

# How long entries are kept for streams that resume.
KEPT = timedelta(hours=1)
BATCH = 1000

_HEAD = "INSERT INTO stream_head (id, position, floor) SELECT 1, {now}, {now} ON CONFLICT DO NOTHING"
_LOCK = "SELECT greatest(position, {now}) FROM stream_head WHERE id = 1 FOR UPDATE"
# Positions are microseconds of the clock where it is ahead of them, so that none is given twice after a restore.
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

_MOVE = """
WITH taken AS (
    DELETE FROM stream_note WHERE id IN (SELECT id FROM stream_note ORDER BY id LIMIT %(limit)s)
    RETURNING id, kind, subject_id, user_id, noted_at
), told AS (
    SELECT id, kind, subject_id, user_id, noted_at FROM taken WHERE kind NOT IN ('command', 'halt')
    UNION ALL
    SELECT t.id, 'receipt', c.id, c.user_id, t.noted_at
      FROM taken AS t JOIN bot_command AS c ON c.id = t.subject_id WHERE t.kind = 'command'
    UNION ALL
    SELECT t.id, 'status', c.bot_id, c.user_id, t.noted_at
      FROM taken AS t JOIN bot_command AS c ON c.id = t.subject_id WHERE t.kind = 'command'
    UNION ALL
    SELECT t.id, 'status', b.id, b.user_id, t.noted_at
      FROM taken AS t JOIN risk_halt AS h ON h.id = t.subject_id JOIN bot AS b ON b.deleted_at IS NULL
       AND (h.scope = 'platform' OR h.scope = 'bot' AND b.id = h.subject_id
            OR h.scope = 'key' AND b.credential_id = h.subject_id OR h.scope = 'user' AND b.user_id = h.subject_id)
     WHERE t.kind = 'halt'
), newest AS (
    SELECT max(id) AS id, kind, subject_id, user_id, min(noted_at) AS noted_at FROM told
     WHERE user_id IS NOT NULL GROUP BY kind, subject_id, user_id
)
INSERT INTO stream_entry (position, user_id, kind, subject_id, noted_at)
SELECT %(base)s + row_number() OVER (ORDER BY id, kind DESC, subject_id), user_id, kind, subject_id, noted_at
  FROM newest
RETURNING position
"""

_AFTER = """
SELECT position, user_id, kind, subject_id, noted_at FROM stream_entry
 WHERE position > %s ORDER BY position LIMIT %s
"""
_OF_USERS = """
SELECT position, user_id, kind, subject_id, noted_at FROM stream_entry
 WHERE user_id = ANY(%s) AND position > %s AND position <= %s ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A change of something of a user; `noted_at` is when it was made."""

    position: int
    user_id: UUID
    kind: str
    subject_id: UUID
    noted_at: datetime


@dataclass(frozen=True, slots=True)
class Bounds:
    """The newest position, and the one up to which entries may have been deleted."""

    position: int
    floor: int


def has_notes() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM stream_note)")
        return bool(cursor.fetchone()[0])


@transaction.atomic
def move_notes(*, limit: int = BATCH) -> int:
    """Moves up to `limit` committed notes into the journal, several changes of one thing as one. Returns the entries.

    Any number of processes may do so at once: each waits for the one before it to commit.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HEAD.format(now=_NOW))
        cursor.execute(_LOCK.format(now=_NOW))
        [base] = cursor.fetchone()
        cursor.execute(_MOVE, {"limit": limit, "base": base})
        positions = [position for (position,) in cursor.fetchall()]
        if positions:
            cursor.execute("UPDATE stream_head SET position = %s WHERE id = 1", [max(positions)])
    return len(positions)


def bounds() -> Bounds:
    """Of the journal as it is now."""
    with connection.cursor() as cursor:
        cursor.execute(_HEAD.format(now=_NOW))
        cursor.execute("SELECT position, floor FROM stream_head WHERE id = 1")
        return Bounds(*cursor.fetchone())


def entries_after(position: int, *, limit: int = BATCH) -> list[Entry]:
    """The oldest ones above the position, of every user."""
    with connection.cursor() as cursor:
        cursor.execute(_AFTER, [position, limit])
        return [Entry(*row) for row in cursor.fetchall()]


def entries_of(user_ids: Collection[UUID], *, after: int, until: int) -> list[Entry]:
    with connection.cursor() as cursor:
        cursor.execute(_OF_USERS, [list(user_ids), after, until])
        return [Entry(*row) for row in cursor.fetchall()]


@transaction.atomic
def forget_old() -> int:
    """Deletes entries and notes older than KEPT. Returns how many entries.

    Notes grow old only where no process moved them; then no stream can resume from before either.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_NOW} - %s", [int(KEPT.total_seconds() * 1_000_000)])
        [floor] = cursor.fetchone()
        # Before anything is deleted: a reader that sees the old floor sees the entries.
        cursor.execute("UPDATE stream_head SET floor = %s WHERE id = 1 AND floor < %s", [floor, floor])
        cursor.execute("DELETE FROM stream_entry WHERE position <= %s", [floor])
        deleted = int(cursor.rowcount)
        cursor.execute(
            "DELETE FROM stream_note WHERE noted_at < clock_timestamp() - make_interval(secs => %s)",
            [KEPT.total_seconds()],
        )
    return deleted
