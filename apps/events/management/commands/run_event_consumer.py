"""Hands events from Kafka to the handlers of this service's apps until it is told to stop."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.events.consumers.figures import read_dead_letters
from apps.events.consumers.group import GroupConsumer
from apps.events.consumers.registry import groups, load_consumers, topics_of
from apps.events.process.threads import WorkerThreads
from apps.events.process.worker_command import Worker, WorkerCommand


class Command(WorkerCommand):
    help = "Runs the consumer groups of this service's apps, or one of them. Run it again to share the partitions."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--group", help="one group; all that read from Kafka where none is given")

    def worker(self, options: dict[str, Any]) -> Worker:
        group: str | None = options["group"]
        load_consumers()
        readers = [name for name in groups() if topics_of(name)]
        if group is not None and group not in readers:
            raise CommandError(f"{group} reads nothing from Kafka in this service. It has: {', '.join(readers)}.")
        if not readers:
            raise CommandError("No app of this service reads from Kafka.")
        return WorkerThreads({name: partial(GroupConsumer, name) for name in ([group] if group else readers)})

    def figures(self, options: dict[str, Any]) -> Mapping[str, Callable[[], None]]:
        names = [options["group"]] if options["group"] else groups()
        return {"dead-letters": partial(read_dead_letters, names)}
