from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.trading.services.orders.manual_resolution import order_judge


class Command(BaseCommand):
    help = "A person's word on an order whose evidence contradicts itself: placed as TXID, or never placed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("cl_ord_id")
        verdict = parser.add_mutually_exclusive_group(required=True)
        verdict.add_argument(
            "--placed-as", metavar="TXID", help="The exchange's id of the order; its fills are booked."
        )
        verdict.add_argument("--not-placed", action="store_true")
        parser.add_argument("--operator", required=True, help="Who says so.")
        parser.add_argument("--because", required=True, help="What was looked at.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            intent = order_judge(
                cl_ord_id=options["cl_ord_id"],
                txid=options["placed_as"],
                operator=options["operator"],
                because=options["because"],
                now=timezone.now(),
            )
        except PlatformError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{intent.cl_ord_id} is {intent.state}.")
