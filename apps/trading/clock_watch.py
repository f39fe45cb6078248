"""Measures how far our clock is from the clocks of the exchanges that bots trade on."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

import structlog
from django.db import DatabaseError, close_old_connections, connection

from apps.core.errors import PlatformError
from apps.core.metrics import gauge
from apps.core.terms import Mode
from apps.exchange.clock import (
    ALERT_SECONDS,
    LIMIT_SECONDS,
    SAMPLES,
    Offset,
    offset_measure,
    offset_of,
    offset_record,
)
from apps.exchange.factory import market_data_for
from apps.exchange.kraken.client import CallPolicy
from apps.exchange.port import MarketData
from apps.trading.models.runs import LIVE_RUNS, BotRun

log = structlog.get_logger(__name__)

AHEAD = gauge(
    "exchange_clock_ahead_seconds", "Our clock minus the clock of the exchange that a mode trades on.", ["mode"],
    processes=["reconciler"],
)  # fmt: skip

# Not whole seconds: the exchange tells whole ones, and answers at different parts of a second tell more.
SECONDS_BETWEEN = 10.3
# At first, and after a clock was set, until so many samples agree
QUICK_SAMPLES = 4
POLICY = CallPolicy(connect_seconds=2.0, read_seconds=3.0, attempts=1)


def _market(mode: Mode) -> MarketData:
    return market_data_for(mode, policy=POLICY)


class ClockWatch:
    """Measures in a thread of its own: a silent exchange delays nothing else. `monotonic` never jumps."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        open_market: Callable[[Mode], MarketData] = _market,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._open_market = open_market
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clock-watch")
        self._round: Future[None] | None = None
        self._next_at = float("-inf")
        self._samples: dict[Mode, deque[Offset]] = {}
        self._alarms: dict[Mode, str] = {}

    @property
    def alarm(self) -> str:
        """What a person should know; empty while all clocks agree."""
        return " ".join(self._alarms.values())

    def step(self) -> None:
        """Begins a measurement where one is due and none is in progress."""
        if self._round is not None and not self._round.done():
            return
        if self._monotonic() >= self._next_at:
            self._next_at = self._monotonic() + SECONDS_BETWEEN
            self._round = self._thread.submit(self.measure)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def measure(self) -> None:
        """Measures each mode with a run once."""
        close_old_connections()
        try:
            modes = set(BotRun.objects.filter(state__in=LIVE_RUNS).values_list("mode", flat=True))
            for mode in Mode:
                if mode in modes:
                    self._measure(mode)
                else:
                    self._samples.pop(mode, None)
                    self._alarms.pop(mode, None)
            if any(len(samples) < QUICK_SAMPLES for samples in self._samples.values()) or not modes:
                self._next_at = float("-inf")
        except DatabaseError as error:
            log.warning("clock_not_recorded", error=type(error).__name__)
        finally:
            connection.close()

    def _measure(self, mode: Mode) -> None:
        try:
            sample = offset_measure(self._open_market(mode), clock=self._clock, monotonic=self._monotonic)
        except PlatformError as error:
            log.info("exchange_tells_no_time", mode=mode, code=error.code)
            return
        samples = self._samples.setdefault(mode, deque(maxlen=SAMPLES))
        if samples and offset_of(list(samples)).narrowed(sample) is None:
            samples.clear()
        samples.append(sample)
        offset = offset_of(list(samples))
        AHEAD.labels(mode).set(offset.estimate)
        offset_record(mode=mode, offset=offset, now=self._clock())
        self._judge(mode, offset)

    def _judge(self, mode: Mode, offset: Offset) -> None:
        before, size = self._alarms.get(mode), abs(offset.certain)
        if size <= ALERT_SECONDS:
            if self._alarms.pop(mode, None) is not None:
                log.info("exchange_clock_agrees", mode=mode, ahead_seconds=round(offset.estimate, 2))
            return
        effect = "bots buy nothing" if size > LIMIT_SECONDS else f"beyond {LIMIT_SECONDS:g} s bots buy nothing"
        side = "ahead of" if offset.estimate > 0 else "behind"
        self._alarms[mode] = (
            f"This machine's clock is {abs(offset.estimate):.1f} s {side} the {mode} exchange's: {effect}. "
            "See that time is synchronised."
        )
        if before != self._alarms[mode]:
            log.error("exchange_clock_differs", mode=mode, ahead_seconds=round(offset.estimate, 2), effect=effect)
