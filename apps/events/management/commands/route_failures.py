"""Routes failed messages until it is told to stop."""

from functools import partial
from typing import Any

from apps.events.background import BackgroundCommand, Worker
from apps.events.catalogue import Priority
from apps.events.retry_router import RetryRouter
from apps.events.side_by_side import SideBySide


class Command(BackgroundCommand):
    help = "Sends failed messages to their next attempt or to the dead letters, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        return SideBySide({f"router-{priority}": partial(RetryRouter, priority) for priority in Priority})
