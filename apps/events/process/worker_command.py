"""Base of the management commands that run as processes: metrics port, run loop, clean shutdown."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from apps.core.arguments import port_number
from apps.core.errors import PlatformError
from apps.events.process.run_loop import run_until_stopped


class Worker(Protocol):
    def step(self) -> float:
        """Does a bounded piece of work. Returns the seconds to wait before the next. Raises DatabaseError."""

    def close(self) -> None:
        """Releases leases and connections."""


class WorkerCommand(BaseCommand):
    """Runs the worker that `worker` creates until SIGTERM or SIGINT."""

    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_metrics_arguments(parser)

    def handle(self, *, metrics_port: int | None, metrics_address: str, **options: Any) -> None:
        worker = self.worker(options)
        if metrics_port:
            serve_metrics(metrics_port, metrics_address)
        try:
            run(worker)
        except PlatformError as error:
            raise CommandError(error.message) from error

    def worker(self, options: dict[str, Any]) -> Worker:
        """Creates the worker from the command's options. Raises CommandError if they are not valid."""
        raise NotImplementedError


def add_metrics_arguments(parser: CommandParser) -> None:
    parser.add_argument("--metrics-port", type=port_number, help="serve Prometheus metrics on this port")
    parser.add_argument("--metrics-address", default="127.0.0.1", help="of this machine; 0.0.0.0 in a container")


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


def serve_metrics(port: int, address: str) -> None:
    """Serves Prometheus metrics in a thread. Raises CommandError if the port is taken."""
    try:
        start_http_server(port, addr=address)
    except OSError as error:
        raise CommandError(f"Metrics cannot be served on {address}:{port}: {error.strerror}.") from error
