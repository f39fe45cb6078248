"""The times of an equity curve: a bounded number of them, at whole multiples of a resolution. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# Seconds. Those of at least a minute and at most a week are also intervals of candles, so that their closes fit.
_RESOLUTIONS = (60, 300, 900, 1800, 3600, 14400, 86400, 604800)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class EquityGrid:
    """`times` are those after `since` and before `until`, and `until` itself, oldest first."""

    since: datetime
    until: datetime
    resolution: timedelta
    times: tuple[datetime, ...]


def equity_grid(*, since: datetime, until: datetime, points: int) -> EquityGrid:
    """At most `points` times, at the finest resolution that allows it. Only `until` where it is not after `since`."""
    span = max(until - since, timedelta())
    # The last point is `until`.
    least = span / max(points - 1, 1)
    seconds = next((each for each in _RESOLUTIONS if timedelta(seconds=each) >= least), None)
    if seconds is None:
        weeks = -(-least // timedelta(weeks=1))
        seconds = _RESOLUTIONS[-1] * weeks
    resolution = timedelta(seconds=seconds)
    times = []
    at = _EPOCH + ((since - _EPOCH) // resolution + 1) * resolution
    while at < until:
        times.append(at)
        at += resolution
    return EquityGrid(since, until, resolution, (*times[-(points - 1) :], until) if points > 1 else (until,))
