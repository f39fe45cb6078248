"""Sends the outbox to Kafka until it is told to stop."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from apps.events.loop import run_until_stopped
from apps.events.relay import Relay, Shard


class Command(BaseCommand):
    help = (
        "Relays committed events from the outbox to Kafka. Run a second one as a hot standby: it takes over when the "
        "first one's leases end. To share the work, run one with each --shard of --shards."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--shard", type=int, default=0, metavar="I", help="which part of the keys, from 0")
        parser.add_argument("--shards", type=int, default=1, metavar="N", help="how many parts there are")
        parser.add_argument("--metrics-port", type=int, help="serve Prometheus metrics on this port of 127.0.0.1")

    def handle(self, *, shard: int, shards: int, metrics_port: int | None, **_: Any) -> None:
        try:
            relay = Relay(Shard(shard, shards))
        except ValueError as error:
            raise CommandError(str(error)) from error
        if metrics_port:
            start_http_server(metrics_port, addr="127.0.0.1")
        try:
            run_until_stopped(relay.step)
        finally:
            relay.close()
