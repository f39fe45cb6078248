"""What a run finds at the beginning of a tick, read with one statement: most ticks find nothing to do."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from apps.core.due import CLOCKS_DIFFER
from apps.core.terms import Side
from apps.trading.models.order_states import ACTIVE_STATES, RESTING_STATES, IntentState
from apps.trading.models.runs import BotRun
from apps.trading.models.series import CandleSeries
from apps.trading.selectors import LOOK_AT_MOST_AFTER

# The orders to look at are those of `intents_recover` and of `resting_intents` with `due_at`.
_READ = """
SELECT EXISTS (SELECT FROM trading_order_intent
                WHERE run_id = %(run_id)s
                  AND (state = ANY(%(unsent)s)
                       OR (state = ANY(%(resting)s) AND (next_check_at <= %(now)s OR next_check_at > %(too_far)s)))),
       EXISTS (SELECT FROM trading_due_exit WHERE run_id = %(run_id)s),
       series.seen_at, coalesce(series.next_look_at > %(late)s, false),
       (SELECT base_volume FROM trading_position
         WHERE bot_id = %(bot_id)s AND credential_id = %(credential_id)s AND pair = %(pair)s),
       (SELECT candle_at FROM trading_order_intent
         WHERE bot_id = %(bot_id)s AND pair = %(pair)s AND side = %(buy)s AND candle_at IS NOT NULL
           AND (filled_volume > 0 OR state = ANY(%(active)s))
         ORDER BY planned_at DESC LIMIT 1)
  FROM (SELECT) AS once LEFT JOIN trading_candle_series AS series
    ON mode = %(mode)s AND pair = %(pair)s AND interval_minutes = %(interval_minutes)s AND failures < %(failures)s
"""

# A look of the watcher that is overdue for longer is not being made.
_LOOKS_LATE_AFTER = timedelta(seconds=5)

_STATES = {
    "unsent": [IntentState.PLANNED.value, IntentState.SENDING.value],
    "resting": sorted(RESTING_STATES),
    "active": sorted(ACTIVE_STATES),
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What a run has to look at, and what its strategy decides with.

    `has_orders`: some are to be recovered or to be looked at now. `candle_seen_at`: when the watcher first saw the last
    closed candle; what was asked for since then has it. None: ask again. `is_watched`: the watcher looks in time,
    so that no other candle has closed since. `base_volume` is the bot's position, in base, and `last_buy_at` the candle
    of its last purchase.
    """

    has_orders: bool
    has_exit: bool
    candle_seen_at: datetime | None
    is_watched: bool
    base_volume: Decimal
    last_buy_at: datetime | None


def situation_of(run: BotRun, *, now: datetime) -> Situation:
    """The run's situation. Code that acts on it locks and reads again what the money depends on."""
    values: dict[str, Any] = _STATES | {
        "run_id": run.id,
        "bot_id": run.bot_id,
        "credential_id": run.credential_id,
        "mode": run.mode,
        "pair": run.pair,
        "interval_minutes": run.interval_minutes,
        "failures": CandleSeries.FAILURES_TO_TELL,
        "buy": Side.BUY.value,
        "now": now,
        "late": now - _LOOKS_LATE_AFTER,
        "too_far": now + LOOK_AT_MOST_AFTER + CLOCKS_DIFFER,
    }
    with connection.cursor() as cursor:
        cursor.execute(_READ, values)
        row = cursor.fetchone()
    return Situation(*row)
