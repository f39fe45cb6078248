"""The loop that watches the candles of one mode, for all its runs. Of several watchers one makes each look."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.core.terms import Mode
from apps.market.selectors import market_status
from apps.market.source import MarketSource, SharedMarket
from apps.trading.models.series import CandleSeries
from apps.trading.selectors import mode_is_at_work
from apps.trading.services.runs.candle_watch import (
    runs_wake,
    series_ensure,
    series_look,
    series_next_look,
    series_take_due,
)

log = structlog.get_logger(__name__)

# How long a series that has just become a running run's may wait for its first look.
POLL_SECONDS = 0.25
# How often all runs are compared with their series, for those that a wake-up has missed.
SECONDS_BETWEEN_ROUNDS = 1.0
# How often the list of pairs is looked at.
SECONDS_BETWEEN_LISTS = 10.0
# How often a replay's speed is asked for.
SECONDS_BETWEEN_SPEEDS = 60.0
# Kraken takes about one public call a second from an address; the paper exchange is the platform's own.
LIVE_LOOKS_APART_SECONDS = 1.0


class CandleWatcher:
    """One look a step. `clock` gives the time of day, `monotonic` seconds that never jump."""

    def __init__(
        self,
        mode: Mode,
        *,
        market: MarketSource | None = None,
        clock: Callable[[], datetime] = timezone.now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mode = mode
        self._shared = SharedMarket(mode, clock)
        self._market = market or self._shared
        self._clock = clock
        self._monotonic = monotonic
        self._next_round = self._next_list = 0.0
        self._speeds: dict[str, float] = {}
        self._speeds_until = 0.0

    def step(self) -> float:
        """Looks at the series that is due longest. Returns the seconds until the next step. Raises DatabaseError."""
        now = self._clock()
        if self._monotonic() >= self._next_round:
            self._next_round = self._monotonic() + SECONDS_BETWEEN_ROUNDS
            series_ensure(now=now)
            runs_wake(now=now)
        if self._monotonic() >= self._next_list:
            self._next_list = self._monotonic() + SECONDS_BETWEEN_LISTS
            if self._market is self._shared and mode_is_at_work(self._mode):
                # Here, so that no order waits for it.
                self._shared.keep_listed()
        series = series_take_due(mode=self._mode, now=now)
        if series is None:
            return self._until_next_look(now)
        has_new = series_look(series, market=self._market, length=self._length(series), now=now)
        if has_new or series.is_failing:
            runs_wake(now=self._clock())
        return LIVE_LOOKS_APART_SECONDS if self._mode is Mode.LIVE else 0.0

    def _until_next_look(self, now: datetime) -> float:
        due_at = series_next_look(mode=self._mode)
        return POLL_SECONDS if due_at is None else min(POLL_SECONDS, max(0.0, (due_at - now).total_seconds()))

    def close(self) -> None:
        """Holds nothing between two steps."""

    def _length(self, series: CandleSeries) -> timedelta | None:
        """How long a candle of the series lasts on the wall clock. None for a replay that does not tell its speed."""
        interval = timedelta(minutes=series.interval_minutes)
        if self._mode is Mode.LIVE:
            return interval
        if self._monotonic() >= self._speeds_until:
            self._speeds_until = self._monotonic() + SECONDS_BETWEEN_SPEEDS
            try:
                self._speeds = dict(market_status(mode=self._mode, now=self._clock()).value.speeds)
            except PlatformError as error:
                log.info("market_speed_unknown", mode=self._mode, code=error.code)
        speed = self._speeds.get(series.pair)
        return interval / speed if speed else None
