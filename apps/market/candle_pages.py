"""Pages of candles, both ways in time."""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime

from apps.exchange.types import Candle, Ohlc


@dataclass(frozen=True, slots=True)
class CandlesPage:
    """Closed candles, oldest first, and the forming one where the page reaches up to now.

    `older_before` and `newer_since` are the bounds of the pages next to it, None where there is nothing more.
    """

    candles: tuple[Candle, ...]
    forming: Candle | None
    older_before: datetime | None
    newer_since: datetime | None
    history_starts_at: datetime | None


def candles_page(ohlc: Ohlc, *, limit: int, before: datetime | None, since: datetime | None) -> CandlesPage:
    """At most `limit` candles that opened from `since` on and before `before`.

    With `since` alone the first of them, otherwise the last.
    """
    opened = [candle.opened_at for candle in ohlc.closed]
    first = bisect_left(opened, since) if since is not None else 0
    end = bisect_left(opened, before) if before is not None else len(opened)
    if since is not None and before is None:
        end = min(end, first + limit)
    else:
        first = max(first, end - limit)
    first = min(first, end)
    reaches_now = end == len(opened)
    forming = ohlc.forming if reaches_now and _is_within(ohlc.forming, before, since) else None
    return CandlesPage(
        candles=ohlc.closed[first:end],
        forming=forming,
        older_before=None if first == 0 else opened[first] if first < len(opened) else since,
        newer_since=None if reaches_now else opened[end],
        history_starts_at=opened[0] if opened else None,
    )


def _is_within(candle: Candle | None, before: datetime | None, since: datetime | None) -> bool:
    if candle is None:
        return False
    return (before is None or candle.opened_at < before) and (since is None or candle.opened_at >= since)
