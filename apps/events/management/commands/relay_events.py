"""Runs the relay, which sends outbox rows to Kafka, until SIGTERM."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.core.arguments import not_negative, positive_integer
from apps.events.outbox.relay.relay import Relay
from apps.events.outbox.relay.shards import Shard
from apps.events.process.worker_command import BackgroundCommand, Worker


class Command(BackgroundCommand):
    help = (
        "Relays committed events from the outbox to Kafka. Start a second one as a hot standby: it takes over when the "
        "leases of the first one expire. To share the work, start one with each --shard of --shards."
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
