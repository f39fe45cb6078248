"""Events without a seal: only the newest have a reason to be."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.backends.utils import CursorWrapper

from apps.audit.chains import Divergence
from apps.audit.checkpoints import OVERLAP, Checkpoint

# The sealer takes seconds; longer than this it is not at work, or held up.
SEALED_WITHIN = timedelta(minutes=10)

# How far ahead of its clock a database may have recorded an event before the clock was set back.
_CLOCK_STEP = OVERLAP

_MOST_REPORTED = 20

# By all that a leaf says of its event: a second event of the same id is not sealed.
_UNSEALED = """
    FROM events.event e
   WHERE NOT EXISTS (SELECT 1 FROM audit.audit_leaf l
                      WHERE l.event_id = e.event_id AND l.recorded_at = e.recorded_at)
"""

_IN_ORDER = f"""
    SELECT e.aggregate_type || '/' || e.aggregate_id::text, e.aggregate_seq, e.recorded_at
    {_UNSEALED} AND e.recorded_at > %s AND e.recorded_at <= %s
    ORDER BY e.recorded_at LIMIT %s
"""

# The last leaf is the newest of its batch; up to it a checkpoint of version 1 has all events.
_NEWEST_LEAF = "SELECT recorded_at FROM audit.audit_leaf WHERE seal_no = %s"


@dataclass(frozen=True)
class Unsealed:
    """How many events have no seal, and the times of the oldest and the newest; None where there are none."""

    events: int
    oldest: datetime | None
    newest: datetime | None


def unsealed_get(cursor: CursorWrapper) -> Unsealed:
    cursor.execute(f"SELECT count(*), min(e.recorded_at), max(e.recorded_at) {_UNSEALED}")
    return Unsealed(*cursor.fetchone())


def overdue(cursor: CursorWrapper, unsealed: Unsealed, last: Checkpoint | None) -> Iterator[Divergence]:
    """Unsealed events that the last checkpoint says do not exist, and those that should have been sealed by now."""
    if unsealed.oldest is None or unsealed.newest is None:
        return
    cursor.execute("SELECT clock_timestamp()")
    (now,) = cursor.fetchone()
    complete_until = _complete_until(cursor, last)
    if complete_until is not None and unsealed.oldest <= complete_until:
        for aggregate, sequence, recorded_at in _between(cursor, "-infinity", complete_until):
            message = (
                f"it says that it was recorded at {_text(recorded_at)}, and is not among the sealed events, which are "
                f"complete up to {_text(complete_until)}: it was added later"
            )
            yield Divergence("unsealed", aggregate, sequence, message)
    is_late = unsealed.oldest <= now - SEALED_WITHIN
    if late := _between(cursor, complete_until or "-infinity", now - SEALED_WITHIN) if is_late else []:
        aggregate, sequence, recorded_at = late[0]
        message = (
            f"it was recorded at {_text(recorded_at)} and is not sealed after {_minutes(now - recorded_at)} minutes: "
            "the sealer is stopped, refuses (see its log), or is held up by a transaction that has written and stays "
            "open; or the event was added later with an old time"
        )
        yield Divergence("unsealed", aggregate, sequence, message)
    if unsealed.newest > now + _CLOCK_STEP:
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
