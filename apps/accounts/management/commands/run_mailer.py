"""The mailer process: sends due mail until it is told to stop. Without a mail server it waits, and says so."""

from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from apps.accounts.backlog import mail_backlog, mail_waiting
from apps.accounts.services.mail import mail_send_due
from apps.events.process.heartbeats import beat, retire
from apps.events.process.progress import Health, Progress, ProgressWatch
from apps.events.process.worker_command import Worker, WorkerCommand

log = structlog.get_logger(__name__)

NAME = "mailer"
IDLE_SECONDS = 1.0
NO_SERVER = (
    "MUCKARD_SMTP_URL is missing; it is needed for sending mail, such as smtp://user:password@host:587, or "
    "smtps://user:password@host:465."
)


def has_mail_server() -> bool:
    """Whether mail can go out. In development it becomes files, so that it always can."""
    env = settings.ENVIRONMENT
    return env.environment != "production" or env.smtp_url is not None


class Command(WorkerCommand):
    help = "Sends the mail that accounts have queued. Without a mail server it waits."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--once", action="store_true", help="send what is due now, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["once"]:
            super().handle(*args, **options)
            return
        if not has_mail_server():
            raise CommandError(NO_SERVER)
        while mail_send_due(now=timezone.now()):
            pass

    def worker(self, options: dict[str, Any]) -> Worker:
        return Mailer(has_server=has_mail_server())


class Mailer:
    """Sends one mail a step. Without a server it sends none: no mail uses up its attempts, and none is written to a
    disk, where it would show the codes in it."""

    def __init__(self, *, has_server: bool = True) -> None:
        self._has_server = has_server
        progress = Progress(NAME, what="mail", done="sent")
        self._watch = ProgressWatch(progress, lambda: mail_backlog(now=timezone.now()))
        if not has_server:
            log.warning("mail_server_missing", advice=NO_SERVER)

    def step(self) -> float:
        """Sends at most one mail. Returns the seconds until the next step. Raises DatabaseError."""
        if not self._has_server:
            # Not down: an installation may do without mail, and nothing here is broken.
            beat(NAME, *Health("up", f"No mail is sent, {mail_waiting(now=timezone.now())} waiting. {NO_SERVER}"))
            return IDLE_SECONDS
        beat(NAME, *self._watch.health())
        return 0.0 if mail_send_due(now=timezone.now()) else IDLE_SECONDS

    def close(self) -> None:
        """Takes the heartbeat away: a platform without mail is not degraded."""
        retire(NAME)
