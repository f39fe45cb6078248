from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.errors import PlatformError
from apps.trading.services.orders.balance_acceptance import balances_accept


class Command(BaseCommand):
    help = "Accepts the balances of an account whose difference to the ledger nothing explains (account.drift)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("credential_id", type=UUID, help="The exchange key that the alert names.")
        parser.add_argument("--operator", required=True, help="Name of the person who accepts them.")
        parser.add_argument("--because", required=True, help="What was looked at.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            accepted = balances_accept(
                credential_id=options["credential_id"], operator=options["operator"], because=options["because"]
            )
        except PlatformError as error:
            raise CommandError(error.message) from error
        for sentence in accepted:
            self.stdout.write(sentence)
