"""Exports a signed bundle of events that verifies offline."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.audit import bundle, checkpoints
from apps.audit.filters import add_arguments, filter_of
from apps.core.errors import PlatformError
from apps.core.operator import add_operator
from apps.core.progress import counted


class Command(BaseCommand):
    help = "Exports events as a signed zip file that verifies without our database: python verify_bundle.py FILE."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", type=Path, required=True, metavar="FILE.zip")
        parser.add_argument("--archive", type=Path, metavar="FOLDER", help="where archive_events put old months")
        add_arguments(parser)
        add_operator(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        pem = settings.ENVIRONMENT.secret("audit_signing_key", needed_for="signing the bundle")
        try:
            for sentence in bundle.interrupted_exports(options["output"]):
                self.stderr.write(sentence)
            with counted("Exporting") as show:
                exported = bundle.export(
                    filters=filter_of(options),
                    path=options["output"],
                    key=checkpoints.signing_key(pem),
                    operator=options["operator"],
                    now=timezone.now(),
                    archive_folder=options["archive"],
                    progress=lambda step, events: show(events, None, step),
                )
        except PlatformError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"The bundle could not be written: {error}.") from error
        self.stdout.write(
            f"Wrote {exported.path}: {exported.events} events, {exported.leaves} of them sealed. "
            f"SHA-256 {exported.sha256}."
        )
