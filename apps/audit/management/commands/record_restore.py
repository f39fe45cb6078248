"""Records that the database was restored from a backup, and begins a new witness file."""

from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.audit.restores import restore_record
from apps.core.errors import PlatformError


class Command(BaseCommand):
    help = (
        "Records a restore as the event audit.restored, and closes the witness file: it is kept beside the new one. "
        "Run it after PostgreSQL is up again and before the checkpointer is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--restored-to", required=True, metavar="TIME", help="the moment, with its time zone")
        parser.add_argument("--reason", required=True, help="why, for the audit log")
        parser.add_argument("--operator", required=True, help="who restored it, for the audit log")
        parser.add_argument("--witness", type=Path, metavar="FILE", help="the checkpointer's witness file")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            done = restore_record(
                restored_to=_moment(options["restored_to"], now),
                reason=options["reason"],
                operator=options["operator"],
                file=options["witness"],
                now=now,
            )
        except (PlatformError, OSError) as error:
            raise CommandError(f"The restore was not recorded: {error}") from error
        for each in done:
            self.stdout.write(f"{'Recorded' if each.is_new else 'Was recorded before'}: audit.restored.")
            if each.kept_as is not None:
                self.stdout.write(
                    f"  {each.kept_as} is the closed file of the witness: it saw {each.witness_events} sealed events, "
                    f"{each.sealed_events} of them as the database has them. Keep it."
                )
        self.stdout.write("Bots go on once the reconciler has compared their orders with the exchange.")


def _moment(text: str, now: datetime) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CommandError("--restored-to takes a moment with its time zone, such as 2026-01-31T12:00:00+00:00.")
    if moment > now:
        raise CommandError("--restored-to is in the future: give the moment that the database was restored to.")
    return moment
