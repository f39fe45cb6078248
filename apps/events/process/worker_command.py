"""Base of the management commands that run as processes: metrics, run loop, signals, clean shutdown."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.arguments import port_number
from apps.core.errors import PlatformError
from apps.core.samples import gauges_kept, gauges_sample
from apps.events.process.figures import figures_read
from apps.events.process.metrics import serve_metrics
from apps.events.process.run_loop import run_until_stopped
from apps.events.process.watchdog import process_watchdog


class Worker(Protocol):
    def step(self) -> float:
        """Does a bounded piece of work. Returns the seconds to wait before the next. Raises DatabaseError."""

    def close(self) -> None:
        """Releases leases and connections."""


class WorkerCommand(BaseCommand):
    """A long-running process: runs the worker that `worker` creates until SIGTERM or SIGINT.

    The worker writes the heartbeat, under the process's name in the process table, since only it knows whether its work
    makes progress. A subclass with other modes, such as `--once`, overrides `handle` and calls it for the process.
    """

    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        env = settings.ENVIRONMENT
        parser.add_argument(
            "--metrics-port",
            type=port_number,
            default=env.metrics_port,
            help="serve Prometheus metrics on this port (MUCKARD_METRICS_PORT where it is not given)",
        )
        parser.add_argument(
            "--metrics-address", default=env.metrics_address, help="of this machine; 0.0.0.0 in a container"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        worker = self.worker(options)
        process_watchdog().start()
        if options["metrics_port"]:
            serve_metrics(options["metrics_port"], options["metrics_address"])
        try:
            with figures_read({**self.figures(options), **_samples()}):
                run(worker)
        except PlatformError as error:
            raise CommandError(error.message) from error

    def worker(self, options: dict[str, Any]) -> Worker:
        """Creates the worker from the command's options. Raises CommandError if they are not valid."""
        raise NotImplementedError

    def figures(self, options: dict[str, Any]) -> Mapping[str, Callable[[], None]]:
        """Functions by name that set gauges from what servers tell; called every ten seconds (`figures_read`)."""
        return {}


def _samples() -> dict[str, Callable[[], None]]:
    """Keeps what the process measures, for the plots of the staff site."""
    return {"samples": gauges_sample} if gauges_kept(settings.PROCESS) else {}


def run(worker: Worker) -> None:
    """Runs the worker until SIGTERM or SIGINT, then closes it."""
    try:
        with frozen_startup_objects():
            run_until_stopped(worker.step)
    finally:
        worker.close()


@contextmanager
def frozen_startup_objects() -> Iterator[None]:
    """Excludes everything loaded at start from garbage collection (`gc.freeze`).

    These objects live until the process ends. Scanning them again and again took a third of the time in which the
    dispatcher builds its messages.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
