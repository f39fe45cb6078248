"""The mailer process: sends due mail, and runs the accounts' housekeeping once an hour, until it is told to stop."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.accounts.backlog import mail_backlog
from apps.accounts.services.housekeeping import accounts_purge
from apps.accounts.services.mail import mail_send_due
from apps.events.models import ProcessHeartbeat
from apps.events.process.heartbeats import FORGOTTEN_AFTER, beat, forget_silent, retire
from apps.events.process.progress import Progress, ProgressWatch
from apps.events.process.run_loop import run_until_stopped

log = structlog.get_logger(__name__)

NAME = "mailer"
# The heartbeat name of earlier releases. Its last row has no successor of that name, so nothing else removes it.
FORMER_NAME = "accounts"
IDLE_SECONDS = 1.0
SECONDS_BETWEEN_HOUSEKEEPING = 3600.0


class Command(BaseCommand):
    help = "Sends the mail that accounts have queued. Housekeeping: removes old sessions, tokens and mail once an hour."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="send what is due now, run the housekeeping, and end")

    def handle(self, *, once: bool, **_: Any) -> None:
        env = settings.ENVIRONMENT
        if env.environment == "production" and env.smtp_url is None:
            raise CommandError(
                "MUCKARD_SMTP_URL is missing; it is needed for sending mail, such as smtp://user:password@host:587."
            )
        if once:
            while mail_send_due(now=timezone.now()):
                pass
            self._run_housekeeping()
            return
        try:
            run_until_stopped(Mailer(self._run_housekeeping).step)
        finally:
            retire(NAME)

    def _run_housekeeping(self) -> None:
        now = timezone.now()
        removed = accounts_purge(now=now) | {"process_heartbeat": forget_silent(now=now) + _forget_former_name(now)}
        if counts := {table: count for table, count in removed.items() if count}:
            log.info("old_rows_removed", **counts)


def _forget_former_name(now: datetime) -> int:
    former = ProcessHeartbeat.objects.filter(name=FORMER_NAME, beat_at__lt=now - FORGOTTEN_AFTER)
    return former.delete()[0]


class Mailer:
    """Sends one mail a step, and calls `run_housekeeping` once an hour."""

    def __init__(self, run_housekeeping: Callable[[], None]) -> None:
        self._run_housekeeping = run_housekeeping
        self._housekeeping_ran_at = float("-inf")
        progress = Progress(NAME, what="mail", done="sent")
        self._watch = ProgressWatch(progress, lambda: mail_backlog(now=timezone.now()))

    def step(self) -> float:
        """Sends at most one mail. Returns the seconds until the next step. Raises DatabaseError."""
        beat(NAME, *self._watch.standing())
        if time.monotonic() - self._housekeeping_ran_at > SECONDS_BETWEEN_HOUSEKEEPING:
            self._run_housekeeping()
            self._housekeeping_ran_at = time.monotonic()
        return 0.0 if mail_send_due(now=timezone.now()) else IDLE_SECONDS
