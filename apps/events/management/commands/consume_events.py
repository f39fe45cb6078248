"""Runs the Kafka consumer groups of this service's apps until SIGTERM."""

from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.events.consumers.group import GroupConsumer
from apps.events.consumers.registry import groups, load_consumers, topics_of
from apps.events.process.threads import SideBySide
from apps.events.process.worker_command import BackgroundCommand, Worker


class Command(BackgroundCommand):
    help = "Runs the consumer groups of this service's apps, or one of them. Start it again to share the partitions."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--group", help="one group; by default, all that read from Kafka")

    def worker(self, options: dict[str, Any]) -> Worker:
        group: str | None = options["group"]
        load_consumers()
        readers = [name for name in groups() if topics_of(name)]
        if group is not None and group not in readers:
            raise CommandError(f"{group} reads nothing from Kafka in this service. It has: {', '.join(readers)}.")
        if not readers:
            raise CommandError("No app of this service reads from Kafka.")
        return SideBySide({name: partial(GroupConsumer, name) for name in ([group] if group else readers)})
