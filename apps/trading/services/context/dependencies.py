"""What a worker needs of the outside: the clock, patience, and the exchange account of the bot it works for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from apps.exchange.port import Exchange
from apps.trading.models.runs import BotRun


@dataclass(frozen=True, slots=True)
class Desk:
    """The outside, for one bot's account."""

    exchange: Exchange
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Outside:
    """The outside. Tests bring one with a clock of their own and an exchange in memory."""

    open_exchange: Callable[[BotRun], Exchange]
    clock: Callable[[], datetime] = timezone.now
    sleep: Callable[[float], None] = time.sleep

    def desk(self, run: BotRun) -> Desk:
        """Raises what opening the run's credential raises."""
        return Desk(self.open_exchange(run), self.clock, self.sleep)
