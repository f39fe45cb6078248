"""Sends the outbox to Kafka until it is told to stop."""

from collections.abc import Callable, Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.core.arguments import not_negative, positive_integer
from apps.events.brokers.kafka.disks import read_disks
from apps.events.outbox.relay.relay import Relay
from apps.events.outbox.relay.shards import Shard
from apps.events.process.worker_command import Worker, WorkerCommand


class Command(WorkerCommand):
    help = (
        "Relays committed events from the outbox to Kafka. Run a second one as a hot standby: it takes over when the "
        "first one's leases end. To share the work, run one with each --shard of --shards."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--shard", type=not_negative, default=0, metavar="I", help="which part of the keys, from 0")
        parser.add_argument("--shards", type=positive_integer, default=1, metavar="N", help="how many parts there are")

    def worker(self, options: dict[str, Any]) -> Worker:
        try:
            return Relay(Shard(options["shard"], options["shards"]))
        except ValueError as error:
            raise CommandError(str(error)) from error

    def figures(self, options: dict[str, Any]) -> Mapping[str, Callable[[], None]]:
        return {"kafka-disks": read_disks}
