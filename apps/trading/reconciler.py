"""The loop of the reconciler process: round after round over the orders that no tick updates."""

import time
from collections.abc import Callable

from apps.events.process.heartbeats import beat
from apps.events.process.progress import Progress, ProgressWatch
from apps.trading.backlog import orders_backlog
from apps.trading.services.context.dependencies import ExecutionContext
from apps.trading.services.context.live import LIVE_CONTEXT
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs.histories import history_reconcile

NAME = "reconciler"
POLL_SECONDS = 0.5
# A comparison after a restore reads every run's account from the exchange.
SECONDS_BETWEEN_COMPARISONS = 5.0


class Reconciler:
    """Runs one round a step. The time of day comes from the execution context; `monotonic` never jumps."""

    def __init__(
        self,
        context: ExecutionContext = LIVE_CONTEXT,
        *,
        reconcile: Callable[..., int] = orders_reconcile,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._reconcile = reconcile
        progress = Progress(NAME, what="order", done="looked at")
        self._watch = ProgressWatch(progress, lambda: orders_backlog(now=context.clock()), clock=monotonic)

    def step(self) -> float:
        """One round over what is due. Returns the seconds until the next. Raises DatabaseError."""
        if waits := history_reconcile(context=self._context):
            beat(NAME, "down", waits)
            return SECONDS_BETWEEN_COMPARISONS
        self._reconcile(context=self._context, after_each=self._beat)
        self._beat()
        return POLL_SECONDS

    def close(self) -> None:
        """Holds nothing between two steps."""

    def _beat(self) -> None:
        beat(NAME, *self._watch.health())
