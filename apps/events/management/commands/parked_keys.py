"""Keys whose events wait because the oldest of them cannot be sent."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.errors import NotFound
from apps.events.models import ParkedKey
from apps.events.relay import parking


class Command(BaseCommand):
    help = "Lists the keys that the relay has parked, or releases one so that its events are sent, oldest first."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="what is parked, why, and how many events wait")
        release = actions.add_parser("release", help="send the events of a key, once the cause is removed")
        release.add_argument("key", type=UUID)
        release.add_argument(
            "--without",
            type=UUID,
            metavar="EVENT_ID",
            help="leave this event out for good: it stays in the event store, but Kafka never has it",
        )

    def handle(self, *, action: str, **options: Any) -> None:
        if action == "list":
            self._list()
            return
        try:
            events = parking.release(options["key"], without=options["without"])
        except NotFound as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{events} events of {options['key']} are sent next, oldest first.")

    def _list(self) -> None:
        waiting = parking.waiting_rows()
        for parked in ParkedKey.objects.filter(transport=parking.KAFKA).order_by("parked_at"):
            self.stdout.write(
                f"{parked.key}  {waiting.get(parked.key, 0)} events wait since {parked.parked_at:%Y-%m-%d %H:%M:%S} "
                f"behind {parked.event_type} {parked.event_id}: {parked.reason}"
            )
        self.stdout.write(f"{len(waiting)} keys are parked.")
