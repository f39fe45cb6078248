"""Hands events from Kafka to the handlers of this service's apps until it is told to stop."""

import threading
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from apps.events.consumers import groups, load_consumers, topics_of
from apps.events.consumers.group import GroupConsumer
from apps.events.loop import Stop, run_until_stopped, stop_on_signals

logger = structlog.get_logger(__name__)

FAREWELL_SECONDS = 20.0


class Command(BaseCommand):
    help = "Runs the consumer groups of this service's apps, or one of them. Run it again to share the partitions."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--group", help="one group; all that read from Kafka where none is given")
        parser.add_argument("--metrics-port", type=int, help="serve Prometheus metrics on this port of 127.0.0.1")

    def handle(self, *, group: str | None, metrics_port: int | None, **_: Any) -> None:
        load_consumers()
        readers = [name for name in groups() if topics_of(name)]
        if group is not None and group not in readers:
            raise CommandError(f"{group} reads nothing from Kafka in this service. It has: {', '.join(readers)}.")
        if not readers:
            raise CommandError("No app of this service reads from Kafka.")
        if metrics_port:
            start_http_server(metrics_port, addr="127.0.0.1")
        run_groups([group] if group else readers)


def run_groups(names: list[str]) -> None:
    """Each group in a thread of its own. Raises CommandError where one ends by an error."""
    stop = Stop()
    failures: list[str] = []

    def run(name: str) -> None:
        consumer = GroupConsumer(name)
        try:
            run_until_stopped(consumer.step, stop=stop)
        except Exception:
            logger.exception("A consumer group ended by an error.", group=name)
            failures.append(name)
            stop.request()
        finally:
            consumer.close()

    with stop_on_signals(stop):
        threads = [threading.Thread(target=run, args=(name,), name=name) for name in names]
        for thread in threads:
            thread.start()
        while not stop.wait(1.0):
            pass
        for thread in threads:
            thread.join(FAREWELL_SECONDS)
    if failures:
        raise CommandError(f"These groups ended by an error; see the log: {', '.join(failures)}.")
