"""Dependencies of a run: exchange, clock, sleep. The execution context makes them for each run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from apps.core.terms import Mode
from apps.exchange.port import Exchange
from apps.market.source import MarketSource, SharedMarket
from apps.trading.models.runs import BotRun


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What one run needs from outside: its exchange account, its market, the clock, a way to wait."""

    exchange: Exchange
    market: MarketSource
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """Makes the dependencies of runs. Tests pass one with a clock that they set and an exchange in memory."""

    open_exchange: Callable[[BotRun], Exchange]
    open_market: Callable[[Mode, Callable[[], datetime]], MarketSource] = SharedMarket
    clock: Callable[[], datetime] = timezone.now
    sleep: Callable[[float], None] = time.sleep

    def deps(self, run: BotRun) -> Dependencies:
        """Raises what opening the run's credential raises."""
        return Dependencies(self.open_exchange(run), self.market(run), self.clock, self.sleep)

    def market(self, run: BotRun) -> MarketSource:
        return self.open_market(Mode(run.mode), self.clock)
