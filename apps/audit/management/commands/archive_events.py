"""Moves old months of the event store into compressed files."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.audit.write_archive import partitions_before, write_archive
from apps.core.arguments import integer
from apps.core.errors import PlatformError


class Command(BaseCommand):
    help = "Moves months that ended before --older-than days into FOLDER. Replay and audit_verify read them there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--folder", type=Path, required=True)
        parser.add_argument("--older-than", type=integer(at_least=1, at_most=36_500), default=400, metavar="DAYS")
        parser.add_argument("--dry-run", action="store_true", help="say what would move")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        partitions = partitions_before(now - timedelta(days=options["older_than"]))
        if not partitions:
            self.stdout.write(f"No month ended more than {options['older_than']} days ago: nothing to archive.")
        for partition in partitions:
            if options["dry_run"]:
                self.stdout.write(f"{partition.name} would be archived.")
                continue
            try:
                row = write_archive(partition, folder=options["folder"], now=timezone.now())
            except PlatformError as error:
                raise CommandError(error.message) from None
            self.stdout.write(f"{row.name}: {row.events} events are in {row.file_name} now.")
