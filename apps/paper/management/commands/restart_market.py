"""Restarts markets: a replay that has reached its end accepts no orders."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from apps.paper.market.listing import listed_markets
from apps.paper.services.markets import markets_restart


class Command(BaseCommand):
    help = "Starts the replayed markets again at their start candle. Accounts, trades and resting orders stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--if-ended", action="store_true", help="only markets whose replay has reached its end")

    def handle(self, *args: Any, if_ended: bool, **options: Any) -> None:
        restarted = markets_restart(pairs=list(listed_markets()), clock=timezone.now, only_ended=if_ended)
        for market in restarted:
            self.stdout.write(f"{market.pair} starts again.")
        if not restarted:
            self.stdout.write("No market had ended; all go on.")
