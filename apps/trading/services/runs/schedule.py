"""Which runs are due. A run's next tick is set when it is found due, so that no tick is lost with a message."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from apps.messages.bots import TickBot

# Rows that another scheduler is just taking are left to it.
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
    """The runs whose time has come, each to one scheduler alone; they are due again after `tick_seconds`."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_DUE, {"now": now, "seconds": tick_seconds, "limit": limit})
        return [DueRun(*row) for row in cursor.fetchall()]
