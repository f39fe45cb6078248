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
from apps.core.metrics import WAITS, histogram
from apps.messages.bots import TickBot
from apps.trading.models.order_states import ACTIVE_STATES, IntentState
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun, RunState
from apps.trading.selectors import look_is_due
from apps.trading.services.context.run_lease import RunLease

log = structlog.get_logger(__name__)

TICK_DELAY = histogram(
    "tick_delay_seconds", "From the moment a run was due to its wake-up message.", processes=["scheduler"],
    buckets=WAITS,
)  # fmt: skip

# SKIP LOCKED: each due run is taken by one scheduler.
_TAKE_DUE = """
WITH due AS (
    SELECT id, next_tick_at AS due_at,
           CASE WHEN ticked_at > %(too_far)s THEN ticked_at - %(now)s ELSE interval '0' END AS set_back
      FROM trading_bot_run
     WHERE state = 'running' AND (next_tick_at <= %(now)s OR ticked_at > %(too_far)s)
     ORDER BY next_tick_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE trading_bot_run AS run
   SET is_idle = false, next_tick_at = %(now)s + make_interval(secs => %(seconds)s), ticked_at = %(now)s,
       entries_held_until = entries_held_until - set_back, trouble_since = trouble_since - set_back
  FROM due WHERE run.id = due.id
RETURNING bot_id, run.id, extract(epoch FROM set_back), extract(epoch FROM %(now)s - due_at)
"""

# One write ends a tick.
_END_TICK = """
UPDATE trading_bot_run AS run
   SET decided_candle_at = COALESCE(%(decided_candle_at)s, decided_candle_at),
       is_idle = is_idle OR next_tick_at = %(due_at)s,
       next_tick_at = CASE WHEN next_tick_at <> %(due_at)s THEN next_tick_at ELSE
           LEAST((SELECT next_attempt_at FROM trading_due_exit AS due WHERE due.run_id = run.id), %(latest)s) END,
       lease_owner = '', lease_until = NULL
 WHERE id = %(run_id)s AND fence = %(fence)s
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
    set_back = max((float(seconds) for *_, seconds, _ in rows), default=0.0)
    for *_, late in rows:
        TICK_DELAY.observe(max(0.0, float(late)))
    if set_back > 0:
        log.warning("clock_was_set_back", about_seconds=round(set_back), runs=len(rows))
    return [DueRun(bot_id, run_id) for bot_id, run_id, *_ in rows]


@transaction.atomic
def runs_wake_for_orders(*, now: datetime) -> None:
    """Makes idle runs due that have an order to look at."""
    orders = OrderIntent.objects.filter(look_is_due(now=now), state__in=_LOOKED_AT)
    idle = BotRun.objects.filter(state=RunState.RUNNING, is_idle=True, id__in=orders.values("run_id"))
    if ids := list(idle.select_for_update(skip_locked=True).values_list("id", flat=True)):
        BotRun.objects.filter(id__in=ids).update(next_tick_at=now, is_idle=False)


def tick_end(*, lease: RunLease, due_at: datetime, decided_candle_at: datetime | None = None, now: datetime) -> None:
    """Ends a tick that left nothing to do but an exit's next attempt, and releases the lease. Raises LeaseLost.

    `due_at` is the `next_tick_at` that the tick found. Where it was changed since, by an event that makes the run due
    or by a pause after a failure, the run does not become idle. `decided_candle_at`: the tick decided on this candle,
    and the run places no further order for it.
    """
    values: dict[str, Any] = {
        "run_id": lease.run_id,
        "fence": lease.fence,
        "due_at": due_at,
        "decided_candle_at": decided_candle_at,
        "latest": now + IDLE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_END_TICK, values)
        if not cursor.rowcount:
            raise lease.lost()
    lease.is_released = True
