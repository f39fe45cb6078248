"""Which runs are due. A run's next tick is set when the run is taken, so a lost wake-up message loses no tick.

A run that was taken in the future was taken before the clock was set back. It is due at once, and what it waits for
moves with the clock: its pause of purchases and the beginning of its trouble.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import connection

from apps.core.due import CLOCKS_DIFFER
from apps.messages.bots import TickBot

log = structlog.get_logger(__name__)

# SKIP LOCKED: each due run is taken by one scheduler.
_TAKE_DUE = """
WITH due AS (
    SELECT id, CASE WHEN ticked_at > %(too_far)s THEN ticked_at - %(now)s ELSE interval '0' END AS set_back
      FROM trading_bot_run
     WHERE state = 'running' AND (next_tick_at <= %(now)s OR ticked_at > %(too_far)s)
     ORDER BY next_tick_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE trading_bot_run AS run
   SET next_tick_at = %(now)s + make_interval(secs => %(seconds)s), ticked_at = %(now)s,
       entries_held_until = entries_held_until - set_back, trouble_since = trouble_since - set_back
  FROM due WHERE run.id = due.id
RETURNING bot_id, run.id, extract(epoch FROM set_back)
"""


@dataclass(frozen=True, slots=True)
class DueRun:
    bot_id: UUID
    run_id: UUID

    def wake_up(self, *, now: datetime) -> TickBot:
        return TickBot(bot_id=self.bot_id, run_id=self.run_id, due_at=now)


def runs_take_due(*, now: datetime, tick_seconds: float, limit: int = 500) -> list[DueRun]:
    """Takes the due runs, each by one scheduler only. They are due again after `tick_seconds`."""
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"now": now, "too_far": now + CLOCKS_DIFFER, "seconds": tick_seconds, "limit": limit}
        cursor.execute(_TAKE_DUE, values)
        rows = cursor.fetchall()
    set_back = max((float(seconds) for *_, seconds in rows), default=0.0)
    if set_back > 0:
        log.warning("clock_was_set_back", about_seconds=round(set_back), runs=len(rows))
    return [DueRun(bot_id, run_id) for bot_id, run_id, _ in rows]
