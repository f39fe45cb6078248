"""Seals the event store: Merkle checkpoints, signed, and months of partitions ahead of time."""

from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils import timezone

from apps.audit import checkpoints, services, witness
from apps.audit.backlog import sealer_backlog
from apps.core.errors import PlatformError
from apps.events.process.heartbeats import beat
from apps.events.process.progress import Progress, ProgressWatch, Standing
from apps.events.process.run_loop import run_until_stopped

logger = structlog.get_logger(__name__)

NAME = "sealer"
IDLE_SECONDS = 5.0


class Command(BaseCommand):
    help = "Seals settled events into signed Merkle checkpoints, until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="seal what there is, then end")
        parser.add_argument("--witness", type=Path, help="a file outside the database that gets every signed note too")

    def handle(self, *args: Any, **options: Any) -> None:
        pem = settings.ENVIRONMENT.secret("audit_signing_key", needed_for="sealing the audit log")
        file: Path | None = options["witness"]
        sealer = services.Sealer(checkpoints.signing_key(pem), file)
        refusals = _Refusals()
        watch = ProgressWatch(Progress(NAME, what="event", done="sealed"), sealer_backlog, every_seconds=IDLE_SECONDS)

        def step() -> float:
            with connection.cursor() as cursor:
                cursor.execute("SELECT events.ensure_partitions()")
            sealed, refused = None, ""
            try:
                sealed = sealer.seal(timezone.now())
            except PlatformError as error:
                refused = error.message
            refusals.note(refused)
            beat(NAME, *_standing(watch.standing(), refused or _tell(file)))
            if sealed:
                self.stdout.write(f"Sealed {sealed.events} events.")
            if refused and options["once"]:
                raise CommandError(refused)
            return 0.0 if sealed and sealed.events == services.BATCH else IDLE_SECONDS

        if options["once"]:
            while step() == 0.0:
                pass
        else:
            run_until_stopped(step)


class _Refusals:
    """Says once that sealing is refused, and once that it goes on."""

    def __init__(self) -> None:
        self._reason = ""

    def note(self, reason: str) -> None:
        if reason and not self._reason:
            logger.critical("sealing_refused", reason=reason)
        elif self._reason and not reason:
            logger.info("sealing_goes_on", after=self._reason)
        self._reason = reason


def _standing(standing: Standing, problem: str) -> Standing:
    if problem:
        return Standing("down", problem)
    return standing if standing.is_stalled else Standing("up", f"{services.sealed_size()} events sealed")


def _tell(file: Path | None) -> str:
    """Why the witness lacks notes, for a person; nothing where it has them all. Sealing goes on without it."""
    if file is None:
        return ""
    try:
        added = witness.catch_up(file)
    except (PlatformError, OSError) as error:
        logger.error("witness_lacks_notes", reason=str(error))
        return f"The witness lacks notes: {error}"
    if added > 1:
        logger.warning("witness_caught_up", notes=added)
    return ""
