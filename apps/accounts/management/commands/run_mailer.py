"""The mailer process: sends due mail, and runs the accounts' housekeeping once an hour, until it is told to stop."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from apps.accounts.backlog import mail_backlog
from apps.accounts.services.housekeeping import accounts_purge
from apps.accounts.services.mail import mail_send_due
from apps.events.process.heartbeats import beat, forget_silent, retire
from apps.events.process.progress import Progress, ProgressWatch
from apps.events.process.worker_command import Worker, WorkerCommand

log = structlog.get_logger(__name__)

NAME = "mailer"
IDLE_SECONDS = 1.0
SECONDS_BETWEEN_HOUSEKEEPING = 3600.0


class Command(WorkerCommand):
    help = "Sends the mail that accounts have queued. Housekeeping: removes old sessions, tokens and mail once an hour."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--once", action="store_true", help="send what is due now, run the housekeeping, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        env = settings.ENVIRONMENT
        if env.environment == "production" and env.smtp_url is None:
            raise CommandError(
                "MUCKARD_SMTP_URL is missing; it is needed for sending mail, such as smtp://user:password@host:587."
            )
        if not options["once"]:
            super().handle(*args, **options)
            return
        while mail_send_due(now=timezone.now()):
            pass
        self._run_housekeeping()

    def worker(self, options: dict[str, Any]) -> Worker:
        return Mailer(self._run_housekeeping)

    def _run_housekeeping(self) -> None:
        now = timezone.now()
        removed = accounts_purge(now=now) | {"process_heartbeat": forget_silent(now=now)}
        if counts := {table: count for table, count in removed.items() if count}:
            log.info("old_rows_removed", **counts)


class Mailer:
    """Sends one mail a step, and calls `run_housekeeping` once an hour."""

    def __init__(self, run_housekeeping: Callable[[], None]) -> None:
        self._run_housekeeping = run_housekeeping
        self._housekeeping_ran_at = float("-inf")
        progress = Progress(NAME, what="mail", done="sent")
        self._watch = ProgressWatch(progress, lambda: mail_backlog(now=timezone.now()))

    def step(self) -> float:
        """Sends at most one mail. Returns the seconds until the next step. Raises DatabaseError."""
        beat(NAME, *self._watch.health())
        if time.monotonic() - self._housekeeping_ran_at > SECONDS_BETWEEN_HOUSEKEEPING:
            self._run_housekeeping()
            self._housekeeping_ran_at = time.monotonic()
        return 0.0 if mail_send_due(now=timezone.now()) else IDLE_SECONDS

    def close(self) -> None:
        """Takes the heartbeat away: a platform without mail is not degraded."""
        retire(NAME)
