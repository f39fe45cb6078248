"""Dependencies of a run: exchange, clock, sleep. The execution context makes them for each run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from apps.core.terms import Mode
from apps.exchange.port import Exchange
from apps.market.source import MarketSource, SharedMarket
from apps.trading.errors import WrongAccount
from apps.trading.models.orders import OrderIntent
from apps.trading.models.runs import BotRun


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What one run needs from outside: its exchange account, its market, the clock, a way to wait.

    `exchange` speaks for one account, that of `credential_id`. Whatever concerns one order goes through `account_of`.
    """

    credential_id: UUID
    exchange: Exchange
    market: MarketSource
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]

    def account_of(self, intent: OrderIntent) -> Exchange:
        """The exchange account of this order. Raises WrongAccount for an order of another account."""
        if intent.credential_id != self.credential_id:
            raise WrongAccount(
                f"The order {intent.cl_ord_id} is on another exchange account than the one that was opened.",
                client_order_id=intent.cl_ord_id,
                credential_id=str(intent.credential_id),
                opened=str(self.credential_id),
            )
        return self.exchange


def _any_key(run: BotRun) -> None:
    """Of an exchange that is opened without one."""


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """Makes the dependencies of runs. Tests pass one with a clock that they set and an exchange in memory."""

    open_exchange: Callable[[BotRun], Exchange]
    # Raises what proves that the run's key cannot be used, without opening it.
    check_key: Callable[[BotRun], None] = _any_key
    open_market: Callable[[Mode, Callable[[], datetime]], MarketSource] = SharedMarket
    clock: Callable[[], datetime] = timezone.now
    sleep: Callable[[float], None] = time.sleep

    def deps(self, run: BotRun) -> Dependencies:
        """Raises what opening the run's credential raises."""
        return Dependencies(run.credential_id, self.open_exchange(run), self.market(run), self.clock, self.sleep)

    def market(self, run: BotRun) -> MarketSource:
        return self.open_market(Mode(run.mode), self.clock)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The dependencies of orders of several accounts, each account opened once, when it is first needed."""

    context: ExecutionContext
    _opened: dict[UUID, Dependencies] = field(default_factory=dict)

    def of(self, run: BotRun) -> Dependencies:
        """Those of the account that the run trades on. Raises what opening its credential raises."""
        if run.credential_id not in self._opened:
            self._opened[run.credential_id] = self.context.deps(run)
        return self._opened[run.credential_id]
