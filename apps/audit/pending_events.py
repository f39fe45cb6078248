"""Pending events: events that are not in the Merkle tree. Only the newest ones may be pending."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.backends.utils import CursorWrapper

from apps.audit.chains import Divergence
from apps.audit.checkpoints import OVERLAP, Checkpoint

# The checkpointer takes seconds. An event that is pending for longer means that it is stopped or blocked.
CHECKPOINT_WITHIN = timedelta(minutes=10)

# How far ahead of its clock a database may have recorded an event before the clock was set back.
_CLOCK_STEP = OVERLAP

_MOST_REPORTED = 20

# A leaf is matched by event id and recording time: a second event with the id of the first is pending.
_PENDING = """
    FROM events.event e
   WHERE NOT EXISTS (SELECT 1 FROM audit.audit_leaf l
                      WHERE l.event_id = e.event_id AND l.recorded_at = e.recorded_at)
"""

_IN_ORDER = f"""
    SELECT e.aggregate_type || '/' || e.aggregate_id::text, e.aggregate_seq, e.recorded_at
    {_PENDING} AND e.recorded_at > %s AND e.recorded_at <= %s
    ORDER BY e.recorded_at LIMIT %s
"""

# The last leaf is the newest of its batch. A checkpoint of version 1 has all events up to it.
_NEWEST_LEAF = "SELECT recorded_at FROM audit.audit_leaf WHERE seal_no = %s"


@dataclass(frozen=True)
class PendingEvents:
    """The number of pending events, and when the oldest and the newest were recorded (None if there are none)."""

    events: int
    oldest: datetime | None
    newest: datetime | None


def pending_events_get(cursor: CursorWrapper) -> PendingEvents:
    cursor.execute(f"SELECT count(*), min(e.recorded_at), max(e.recorded_at) {_PENDING}")
    return PendingEvents(*cursor.fetchone())


def pending_divergences(cursor: CursorWrapper, pending: PendingEvents, last: Checkpoint | None) -> Iterator[Divergence]:
    """Divergences of pending events: dated into a time that the last checkpoint covers, pending for too long, or dated
    in the future."""
    if pending.oldest is None or pending.newest is None:
        return
    cursor.execute("SELECT clock_timestamp()")
    (now,) = cursor.fetchone()
    complete_until = _complete_until(cursor, last)
    if complete_until is not None and pending.oldest <= complete_until:
        for aggregate, sequence, recorded_at in _between(cursor, "-infinity", complete_until):
            message = (
                f"it says that it was recorded at {_text(recorded_at)}, and is not among the sealed events, which are "
                f"complete up to {_text(complete_until)}: it was added later"
            )
            yield Divergence("unsealed", aggregate, sequence, message)
    is_late = pending.oldest <= now - CHECKPOINT_WITHIN
    if late := _between(cursor, complete_until or "-infinity", now - CHECKPOINT_WITHIN) if is_late else []:
        aggregate, sequence, recorded_at = late[0]
        message = (
            f"it was recorded at {_text(recorded_at)} and is not sealed after {_minutes(now - recorded_at)} minutes: "
            "the checkpointer is stopped, refuses (see its log), or is held up by a transaction that has written and "
            "stays open; or the event was added later with an old time"
        )
        yield Divergence("unsealed", aggregate, sequence, message)
    if pending.newest > now + _CLOCK_STEP:
        aggregate, sequence, recorded_at = _between(cursor, now + _CLOCK_STEP, "infinity")[0]
        message = f"it says that it was recorded at {_text(recorded_at)}, which is in the future"
        yield Divergence("unsealed", aggregate, sequence, message)


def _complete_until(cursor: CursorWrapper, last: Checkpoint | None) -> datetime | None:
    if last is None:
        return None
    settled_until = last.settled_until
    if settled_until is None:
        cursor.execute(_NEWEST_LEAF, [last.tree_size - 1])
        (settled_until,) = cursor.fetchone()
    return settled_until - OVERLAP


def _between(cursor: CursorWrapper, since: datetime | str, until: datetime | str) -> list[tuple[str, int, datetime]]:
    cursor.execute(_IN_ORDER, [since, until, _MOST_REPORTED])
    return list(cursor.fetchall())


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _minutes(age: timedelta) -> int:
    return int(age.total_seconds() // 60)
