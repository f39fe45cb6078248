"""Parked keys: their messages wait because the oldest of them cannot be sent."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.core.errors import NotFound
from apps.core.operator import add_operator
from apps.events.models import ParkedKey
from apps.events.outbox import parking


class Command(BaseCommand):
    help = "Lists the keys that relay and dispatcher have parked, or releases one: its messages are sent, oldest first."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="list the parked keys, with the reason and the number of waiting messages")
        release = actions.add_parser("release", help="send the messages of a key, after the cause is removed")
        release.add_argument("key", type=UUID)
        add_operator(release)
        release.add_argument(
            "--without",
            type=UUID,
            metavar="EVENT_ID",
            help="skip this message permanently: it stays in the event store and is never sent",
        )

    def handle(self, *, action: str, **options: Any) -> None:
        if action == "list":
            self._list()
            return
        try:
            messages = parking.release(
                options["key"], operator=options["operator"], now=timezone.now(), without=options["without"]
            )
        except NotFound as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{messages} messages of {options['key']} are sent next, oldest first.")

    def _list(self) -> None:
        waiting = parking.waiting_rows()
        for parked in ParkedKey.objects.order_by("parked_at"):
            count = waiting.get((parked.transport, parked.key), 0)
            self.stdout.write(
                f"{parked.key}  {count} messages for {parked.transport} wait since "
                f"{parked.parked_at:%Y-%m-%d %H:%M:%S} behind {parked.event_type} {parked.event_id}: {parked.reason}"
            )
        self.stdout.write(f"{len(waiting)} keys are parked.")
