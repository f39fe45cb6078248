"""Looks for closed candles, one look for all runs of a series, and wakes those that have not decided on the last one.

Waking looks at what is stored, not at what has just happened: a run that was missed is woken by the next round.
"""

from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction

from apps.core.due import CLOCKS_DIFFER
from apps.core.errors import PlatformError
from apps.exchange.types import Ohlc
from apps.market.cache import Snapshot
from apps.market.source import MarketSource
from apps.trading.candle_clock import LAST_RETRY, Closing, closing_missed, closing_seen, next_look
from apps.trading.models.series import CandleSeries

log = structlog.get_logger(__name__)

# A watcher that dies between claim and look leaves the series to another one after this long.
CLAIM = timedelta(seconds=10)
# Looks at a replay of unknown speed.
BLIND_LOOKS = timedelta(seconds=1)

_ENSURE = """
INSERT INTO trading_candle_series (mode, pair, interval_minutes, misses, failures, next_look_at)
SELECT DISTINCT mode, pair, interval_minutes, 0, 0, %(now)s::timestamptz FROM trading_bot_run WHERE state = 'running'
ON CONFLICT DO NOTHING
"""

# Series of a mode that running runs wait for.
_WATCHED = """
mode = %(mode)s AND EXISTS (
    SELECT FROM trading_bot_run AS run WHERE run.state = 'running' AND run.mode = series.mode
       AND run.pair = series.pair AND run.interval_minutes = series.interval_minutes)
"""

_TAKE = f"""
UPDATE trading_candle_series SET next_look_at = %(until)s
 WHERE id = (SELECT id FROM trading_candle_series AS series
              WHERE (next_look_at <= %(now)s OR looked_at > %(too_far)s) AND {_WATCHED}
              ORDER BY next_look_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
"""  # noqa: S608 (constants)  # nosec B608

_NEXT_LOOK = f"SELECT min(next_look_at) FROM trading_candle_series AS series WHERE {_WATCHED}"  # noqa: S608  # nosec B608

# Idle runs only: others are due anyway, or wait for their own reasons.
_WAKE = """
UPDATE trading_bot_run SET next_tick_at = %(now)s, is_idle = false
 WHERE id IN (SELECT run.id FROM trading_bot_run AS run JOIN trading_candle_series AS series
                  ON series.mode = run.mode AND series.pair = run.pair
                 AND series.interval_minutes = run.interval_minutes
               WHERE run.state = 'running' AND run.is_idle AND (
                     series.failures >= %(failures)s
                     OR (series.last_candle_at IS NOT NULL
                         AND run.decided_candle_at IS DISTINCT FROM series.last_candle_at))
                 FOR UPDATE OF run SKIP LOCKED)
"""


def series_ensure(*, now: datetime) -> None:
    """Stores the series that running runs wait for and that are not stored yet."""
    with connection.cursor() as cursor:
        cursor.execute(_ENSURE, {"now": now})


def series_take_due(*, mode: str, now: datetime) -> CandleSeries | None:
    """Claims the series of running runs whose look is due longest, for one watcher."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"mode": mode, "now": now, "until": now + CLAIM, "too_far": now + CLOCKS_DIFFER})
        row = cursor.fetchone()
    return CandleSeries.objects.get(id=row[0]) if row else None


def series_next_look(*, mode: str) -> datetime | None:
    """When the next look at a series of running runs is due. None where there is no such series."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_LOOK, {"mode": mode})
        row = cursor.fetchone()
    return row[0] if row else None


def series_look(series: CandleSeries, *, market: MarketSource, length: timedelta | None, now: datetime) -> bool:
    """Asks for the series' candles once. Returns whether the last closed one is another than before.

    `length` is how long a candle lasts on the wall clock, None where that is not known. Failures are stored, not
    raised: the runs of a series that keeps failing are woken and meet the failure themselves.
    """
    try:
        ohlc = market.ohlc(series.pair, series.interval_minutes, not_before=now)
    except PlatformError as error:
        series.failures += 1
        series.next_look_at = now + min(timedelta(seconds=2 ** min(series.failures - 1, 6)), LAST_RETRY)
        log.warning("candles_not_read", pair=series.pair, mode=series.mode, code=error.code, failures=series.failures)
        series.save(update_fields=["failures", "next_look_at"])
        return False
    has_new = _note(series, ohlc, length)
    series.save()
    return has_new


def _note(series: CandleSeries, ohlc: Snapshot[Ohlc], length: timedelta | None) -> bool:
    now = ohlc.as_of
    if series.looked_at is not None and series.looked_at > now + CLOCKS_DIFFER:
        # The clock was set back: when the last candle closed is not known on the new one.
        series.looked_at = series.closed_after = series.closed_by = None
        series.seen_at = now if series.last_candle_at is not None else None
    last = ohlc.value.closed[-1].opened_at if ohlc.value.closed else None
    has_new = last is not None and last != series.last_candle_at
    length = length or BLIND_LOOKS
    closing = None
    if series.closed_after is not None and series.closed_by is not None:
        closing = Closing(series.closed_after, series.closed_by, series.misses)
    lasts_its_interval = length == timedelta(minutes=series.interval_minutes)
    if last is not None and lasts_its_interval and last + length <= now < last + 3 * length:
        # A real market's candle closes on the clock.
        on_the_clock = last + length
        closing = Closing(on_the_clock, on_the_clock, 0 if has_new else series.misses + 1)
    elif has_new or closing is None:
        closing = closing_seen(closing, length=length, looked_at=series.looked_at, now=now)
    else:
        closing = closing_missed(closing, length=length, now=now)
    if has_new:
        series.last_candle_at, series.seen_at = last, now
    series.closed_after, series.closed_by, series.misses = closing.after, closing.by, closing.misses
    series.looked_at = now
    series.failures = 0
    series.next_look_at = next_look(closing, length=length, now=now)
    return has_new


@transaction.atomic
def runs_wake(*, now: datetime) -> int:
    """Makes idle runs due that have not decided on their series' last candle. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(_WAKE, {"now": now, "failures": CandleSeries.FAILURES_TO_TELL})
        return int(cursor.rowcount)
