"""When to look for the next candle, so that about one look a candle finds it soon after it closed. Pure.

A real market's candles close on the clock. A replay's follow each other at its own speed, at a moment that its candles
do not tell: each look halves the doubt about it, with at most two looks a candle. All times are of the wall clock.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# After the close, before the look: an exchange shows a candle as closed a moment later.
LONGEST_MARGIN = timedelta(seconds=0.5)
# Where a candle does not come when it should, as in a gap of a recording or in an outage.
FIRST_RETRY, LAST_RETRY = timedelta(seconds=1), timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Closing:
    """The last candle closed after `after` and not later than `by`. `misses` counts the looks since, all in vain."""

    after: datetime
    by: datetime
    misses: int = 0


def closing_seen(last: Closing | None, *, length: timedelta, looked_at: datetime | None, now: datetime) -> Closing:
    """A look has found a new candle. `looked_at` is when the look before did not."""
    after = max(now - length, looked_at) if looked_at is not None and looked_at < now else now - length
    if last is not None:
        earliest, latest = max(after, last.after + length), min(now, last.by + length)
        if earliest < latest:
            return Closing(earliest, latest)
    return Closing(after, now)


def closing_missed(last: Closing, *, length: timedelta, now: datetime) -> Closing:
    """A look has found nothing new: the next candle closes later than now."""
    return replace(last, after=min(max(last.after, now - length), last.by), misses=last.misses + 1)


def next_look(closing: Closing, *, length: timedelta, now: datetime) -> datetime:
    margin = min(LONGEST_MARGIN, length / 20)
    earliest, latest = closing.after + length, closing.by + length
    if closing.misses == 0 and latest - earliest > 2 * margin:
        look = earliest + (latest - earliest) / 2
    else:
        look = latest + margin
    if look > now:
        return look
    doublings: int = 1 << min(max(closing.misses - 1, 0), 12)
    return now + min(min(FIRST_RETRY, length / 2) * doublings, LAST_RETRY)
