"""Finds out what became of orders of unknown outcome, until it is told to stop."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from apps.events.process.heartbeats import beat
from apps.events.process.progress import Progress, ProgressWatch
from apps.events.process.worker_command import Worker, WorkerCommand
from apps.trading.backlog import orders_backlog
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs.histories import history_reconcile

NAME = "reconciler"
POLL_SECONDS = 0.5
# The exchange is asked about every run each time.
SECONDS_BETWEEN_COMPARISONS = 5.0


class Command(WorkerCommand):
    help = "Finds out what became of orders of unknown outcome, and looks after those of ended runs, until SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--once", action="store_true", help="One round over what is due now, then end.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            if waits := history_reconcile():
                raise CommandError(waits)
            self.stdout.write(f"{orders_reconcile()} orders looked at.")
            return
        super().handle(**options)

    def worker(self, options: dict[str, Any]) -> Worker:
        return Reconciler()


class Reconciler:
    """Looks at the orders that are due, one round a step."""

    def __init__(self) -> None:
        progress = Progress(NAME, what="order", done="looked at")
        self._watch = ProgressWatch(progress, lambda: orders_backlog(now=timezone.now()))

    def step(self) -> float:
        """One round over what is due. Returns the seconds until the next. Raises DatabaseError."""
        if waits := history_reconcile():
            beat(NAME, "down", waits)
            return SECONDS_BETWEEN_COMPARISONS
        orders_reconcile(after_each=self._beat)
        self._beat()
        return POLL_SECONDS

    def close(self) -> None:
        """Holds nothing between two steps."""

    def _beat(self) -> None:
        beat(NAME, *self._watch.standing())
