from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.errors import PlatformError
from apps.trading.services.orders.manual_resolution import order_resolve
from apps.trading.services.orders.staff_entries import Operator


class Command(BaseCommand):
    help = "Manual resolution of an order: placed under an exchange order id, or never placed. Asks the exchange first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("client_order_id")
        outcome = parser.add_mutually_exclusive_group(required=True)
        outcome.add_argument(
            "--placed-as",
            metavar="EXCHANGE_ORDER_ID",
            help="The exchange's id of the order; the reconciler takes over its fills.",
        )
        outcome.add_argument("--not-placed", action="store_true")
        parser.add_argument("--operator", required=True, help="Name of the person who resolves it.")
        parser.add_argument("--because", required=True, help="What was looked at.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            intent = order_resolve(
                client_order_id=options["client_order_id"],
                exchange_order_id=options["placed_as"],
                operator=Operator(id=f"name:{options['operator'].strip().casefold()}", name=options["operator"]),
                because=options["because"],
            )
        except PlatformError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{intent.cl_ord_id} is {intent.state}.")
