from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from apps.core.gateway_certificate import CertificateReader
from apps.events.process.threads import WorkerThreads
from apps.events.process.worker_command import Worker, WorkerCommand
from apps.trading.figures import read_figures
from apps.trading.reconciler import Reconciler
from apps.trading.services.orders.reconciliation import orders_reconcile
from apps.trading.services.runs.histories import history_reconcile
from apps.vault.services.recheck import KeyChecker


class Command(WorkerCommand):
    help = "Resolves orders of unknown outcome and updates the orders of ended runs, until SIGTERM."

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
        return WorkerThreads({"orders": Reconciler, "key-checks": KeyChecker})

    def figures(self, options: dict[str, Any]) -> Mapping[str, Callable[[], None]]:
        return {"trading": read_figures, "certificate": CertificateReader(settings.ENVIRONMENT.public_url)}
