"""The loop of the reconciler process: orders that no tick updates, and balances, each key by itself."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import structlog
from django.db import DatabaseError, close_old_connections, connection

from apps.events.process.heartbeats import beat
from apps.events.process.progress import Progress, ProgressWatch
from apps.trading.backlog import orders_backlog
from apps.trading.clock_watch import ClockWatch
from apps.trading.live_reach import live_out_of_reach
from apps.trading.selectors import account_is_to_be_compared, accounts_to_compare, keys_to_reconcile
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.orders.account_comparison import account_compare
from apps.trading.services.orders.balance_acceptance import acceptances_carry_out, accounts_with_entries
from apps.trading.services.orders.reconciliation import key_reconcile
from apps.trading.services.runs.histories import history_reconcile

log = structlog.get_logger(__name__)

NAME = "reconciler"
POLL_SECONDS = 0.5
# A comparison after a restore reads every run's account from the exchange.
SECONDS_BETWEEN_COMPARISONS = 5.0
# Keys whose rounds go on at once. A round whose key or exchange is frozen keeps its thread and delays no other key.
KEYS_AT_ONCE = 16
# After an unexpected error the round of this key begins again no sooner; those of other keys go on.
PAUSE_AFTER_ERROR_SECONDS = 60.0


def key_round(credential_id: UUID, *, context: ExecutionContext = LIVE_CONTEXT) -> int:
    """One round of a key: its orders, what a person entered about its balances, and these where they are due.

    Returns the number of orders.
    """
    looked_at = key_reconcile(credential_id, context=context)
    acceptances_carry_out(credential_id, context=context)
    if account_is_to_be_compared(credential_id, now=context.clock()):
        account_compare(credential_id, context=context)
    return looked_at


class Reconciler:
    """Begins the rounds of due keys, each in a thread of its own, at most one a key.

    The time of day comes from the execution context; `monotonic` never jumps. `reconcile` does one round of a key.
    """

    def __init__(
        self,
        context: ExecutionContext = LIVE_CONTEXT,
        *,
        reconcile: Callable[..., int] = key_round,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._reconcile = reconcile
        self._monotonic = monotonic
        self._threads = ThreadPoolExecutor(KEYS_AT_ONCE, thread_name_prefix=NAME)
        self._rounds: dict[UUID, Future[int]] = {}
        self._paused_until: dict[UUID, float] = {}
        progress = Progress(NAME, what="order", done="looked at")
        self._clocks = ClockWatch(clock=context.clock, monotonic=monotonic)
        self._watch = ProgressWatch(progress, lambda: orders_backlog(now=context.clock()), clock=monotonic)

    def step(self) -> float:
        """Begins the rounds that are due. Returns the seconds until the next step. Raises DatabaseError."""
        if waits := history_reconcile(context=self._context):
            beat(NAME, "down", waits)
            return SECONDS_BETWEEN_COMPARISONS
        self._clocks.step()
        self._reap()
        now = self._context.clock()
        keys = [*accounts_with_entries(), *keys_to_reconcile(now=now), *accounts_to_compare(now=now)]
        for key in dict.fromkeys(keys):
            if len(self._rounds) >= KEYS_AT_ONCE:
                break
            if key not in self._rounds and self._paused_until.get(key, 0.0) <= self._monotonic():
                self._rounds[key] = self._threads.submit(self._round, key)
        state, detail = self._watch.health()
        if state == "up" and (alarm := live_out_of_reach() or self._clocks.alarm):
            state, detail = "down", alarm
        beat(NAME, state, detail)
        return POLL_SECONDS

    def close(self) -> None:
        """Waits for the rounds in progress."""
        self._clocks.close()
        self._threads.shutdown(cancel_futures=True)

    def _round(self, key: UUID) -> int:
        close_old_connections()
        try:
            return self._reconcile(key, context=self._context)
        finally:
            connection.close()

    def _reap(self) -> None:
        """Forgets rounds that have ended. One that failed unexpectedly is logged, and its key waits."""
        now = self._monotonic()
        self._paused_until = {key: until for key, until in self._paused_until.items() if until > now}
        for key in [key for key, ended in self._rounds.items() if ended.done()]:
            error = self._rounds.pop(key).exception()
            if isinstance(error, DatabaseError):
                log.warning("reconciliation_interrupted", credential_id=str(key), error=type(error).__name__)
            elif error is not None:
                log.error("reconciliation_failed", credential_id=str(key), exc_info=error)
                self._paused_until[key] = now + PAUSE_AFTER_ERROR_SECONDS
