"""Which runs are due. A run's next tick is set when the run is taken, so a lost wake-up message loses no tick.

A tick that leaves nothing to do makes its run idle. Such a run is due again when its candle closes
(`candle_watch.runs_wake`), when one of its orders is to be looked at or its exit is to be tried again, and otherwise
after IDLE.

A run that was taken in the future was taken before the clock was set back. It is due at once, and what it waits for
moves with the clock: its pause of purchases and the beginning of its trouble.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from apps.core.due import CLOCKS_DIFFER
from apps.messages.bots import TickBot
from apps.trading.models.exits import DueExit
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.selectors import look_is_due
from apps.trading.services.context.run_lease import RunLease

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
   SET is_idle = false, next_tick_at = %(now)s + make_interval(secs => %(seconds)s), ticked_at = %(now)s,
       entries_held_until = entries_held_until - set_back, trouble_since = trouble_since - set_back
  FROM due WHERE run.id = due.id
RETURNING bot_id, run.id, extract(epoch FROM set_back)
"""

# Orders that a tick looks at; those of unknown outcome are the reconciler's.
_LOOKED_AT = sorted({*ACTIVE_STATES} - {IntentState.UNKNOWN, IntentState.NEEDS_HUMAN})

IDLE = timedelta(minutes=15)


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


@transaction.atomic
def runs_wake_for_orders(*, now: datetime) -> None:
    """Makes idle runs due that have an order to look at."""
    orders = OrderIntent.objects.filter(look_is_due(now=now), state__in=_LOOKED_AT)
    idle = BotRun.objects.filter(state=RunState.RUNNING, is_idle=True, id__in=orders.values("run_id"))
    if ids := list(idle.select_for_update(skip_locked=True).values_list("id", flat=True)):
        BotRun.objects.filter(id__in=ids).update(next_tick_at=now, is_idle=False)


def run_set_idle(*, lease: RunLease, due_at: datetime, now: datetime) -> None:
    """After a tick that left nothing to do but an exit's next attempt. `due_at` is the `next_tick_at` that it found.

    Does nothing where it was changed since: by an event that makes the run due, or by a pause after a failure.
    """
    seen = BotRun.objects.filter(id=lease.run_id, fence=lease.fence, next_tick_at=due_at)
    attempt_at = DueExit.objects.filter(run_id=lease.run_id).values_list("next_attempt_at", flat=True).first()
    seen.update(is_idle=True, next_tick_at=min(now + IDLE, attempt_at or now + IDLE))
