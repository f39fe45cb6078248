"""Which runs are due. A run's next tick is set when the run is taken, so a lost wake-up message loses no tick."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from apps.messages.bots import TickBot

# SKIP LOCKED: each due run is taken by one scheduler.
_TAKE_DUE = """
UPDATE trading_bot_run SET next_tick_at = %(now)s + make_interval(secs => %(seconds)s)
 WHERE id IN (SELECT id FROM trading_bot_run
               WHERE state = 'running' AND next_tick_at <= %(now)s
               ORDER BY next_tick_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING bot_id, id
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
        cursor.execute(_TAKE_DUE, {"now": now, "seconds": tick_seconds, "limit": limit})
        return [DueRun(*row) for row in cursor.fetchall()]
