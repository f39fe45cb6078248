"""Verifies the event store again and again, and reports in health, metrics and log, until it is told to stop."""

from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from apps.audit import checkpoints, verification
from apps.audit.verifier import Verifier
from apps.events.process.worker_command import Worker, WorkerCommand

EVERY_SECONDS = 900.0


class Command(WorkerCommand):
    help = "Recomputes every hash chain and Merkle checkpoint at intervals, until SIGTERM. One instance."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--archive", type=Path, metavar="FOLDER", help="where archive_events put old months")
        parser.add_argument("--witness", type=Path, metavar="FILE", help="signed checkpoints kept outside the database")
        parser.add_argument(
            "--every",
            type=float,
            metavar="SECONDS",
            default=EVERY_SECONDS,
            help="from the end of one verification to the next; %(default)s where it is not given",
        )

    def worker(self, options: dict[str, Any]) -> Worker:
        if options["every"] <= 0:
            raise CommandError("--every takes a number of seconds above 0.")
        pem = settings.ENVIRONMENT.secret("audit_public_key", needed_for="checking the checkpoints' signatures")
        verify = partial(
            verification.verify,
            public_key=checkpoints.public_key(pem),
            archive_folder=options["archive"],
            witness=options["witness"],
        )
        return Verifier(verify, every=options["every"])
