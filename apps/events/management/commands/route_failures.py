"""Routes failed messages until it is told to stop."""

from typing import Any

from apps.events.background import BackgroundCommand, Worker
from apps.events.retry_router import RetryRouter


class Command(BackgroundCommand):
    help = "Sends failed messages to their next attempt or to the dead letters, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        return RetryRouter()
