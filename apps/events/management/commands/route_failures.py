"""Runs the retry router until SIGTERM."""

from functools import partial
from typing import Any

from apps.events.commands.retry_router.router import RetryRouter
from apps.events.process.threads import SideBySide
from apps.events.process.worker_command import BackgroundCommand, Worker
from apps.messages.base import Priority


class Command(BackgroundCommand):
    help = "Moves failed messages to a retry queue or to the dead letters, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        return SideBySide({f"router-{priority}": partial(RetryRouter, priority) for priority in Priority})
