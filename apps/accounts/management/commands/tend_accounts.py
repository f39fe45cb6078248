"""Sends mail that is due and removes what has had its day, until it is told to stop."""

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.accounts.backlog import mail_backlog
from apps.accounts.services.housekeeping import accounts_purge
from apps.accounts.services.mail import mail_send_due
from apps.events.process.heartbeats import beat, forget_silent, retire
from apps.events.process.progress import Progress, ProgressWatch
from apps.events.process.run_loop import run_until_stopped

NAME = "accounts"
IDLE_SECONDS = 1.0
SECONDS_BETWEEN_PURGES = 3600.0


class Command(BaseCommand):
    help = "Sends the mail that accounts have queued, and removes old sessions, tokens and mail once an hour."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="send what is due now, purge, and end")

    def handle(self, *, once: bool, **_: Any) -> None:
        env = settings.ENVIRONMENT
        if env.environment == "production" and env.smtp_url is None:
            raise CommandError(
                "MUCKARD_SMTP_URL is missing; it is needed for sending mail, such as smtp://user:password@host:587."
            )
        if once:
            while mail_send_due(now=timezone.now()):
                pass
            self._purge()
            return
        try:
            run_until_stopped(Mailer(self._purge).step)
        finally:
            retire(NAME)

    def _purge(self) -> None:
        now = timezone.now()
        removed = accounts_purge(now=now) | {"process_heartbeat": forget_silent(now=now)}
        text = ", ".join(f"{table} {count}" for table, count in removed.items() if count)
        if text:
            self.stdout.write(f"Removed old rows: {text}.")


class Mailer:
    """Sends mail by mail, and calls `purge` once an hour."""

    def __init__(self, purge: Callable[[], None]) -> None:
        self._purge = purge
        self._purged_at = float("-inf")
        progress = Progress(NAME, what="mail", done="sent")
        self._watch = ProgressWatch(progress, lambda: mail_backlog(now=timezone.now()))

    def step(self) -> float:
        """At most one mail. Returns the seconds until the next step. Raises DatabaseError."""
        beat(NAME, *self._watch.standing())
        if time.monotonic() - self._purged_at > SECONDS_BETWEEN_PURGES:
            self._purge()
            self._purged_at = time.monotonic()
        return 0.0 if mail_send_due(now=timezone.now()) else IDLE_SECONDS
