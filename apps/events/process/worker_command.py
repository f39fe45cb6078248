"""The frame of the commands that are processes of the platform: figures for Prometheus, steps, a clean end."""

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
        """A little work. Returns the seconds until the next. Raises OperationalError where PostgreSQL is gone."""

    def close(self) -> None:
        """Hands over what it holds."""


class WorkerCommand(BaseCommand):
    """Runs what `worker` makes until SIGTERM or SIGINT."""

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
        """Made of the command's own options. Raises CommandError where they cannot be met."""
        raise NotImplementedError


def add_metrics_arguments(parser: CommandParser) -> None:
    parser.add_argument("--metrics-port", type=port_number, help="serve Prometheus metrics on this port")
    parser.add_argument("--metrics-address", default="127.0.0.1", help="of this machine; 0.0.0.0 in a container")


def run(worker: Worker) -> None:
    """Until SIGTERM or SIGINT."""
    try:
        with garbage_collection_of_what_comes():
            run_until_stopped(worker.step)
    finally:
        worker.close()


@contextmanager
def garbage_collection_of_what_comes() -> Iterator[None]:
    """What is loaded already stays to the end, and the collector need not look through it again and again: that took a
    third of the time in which the dispatcher makes its messages."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def serve_metrics(port: int, address: str) -> None:
    """In a thread of its own. Raises CommandError where the port is taken."""
    try:
        start_http_server(port, addr=address)
    except OSError as error:
        raise CommandError(f"Metrics cannot be served on {address}:{port}: {error.strerror}.") from error
