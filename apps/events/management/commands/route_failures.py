"""Routes failed messages until it is told to stop."""

from functools import partial
from typing import Any

from apps.events.commands.retry_router.router import RetryRouter
from apps.events.process.threads import WorkerThreads
from apps.events.process.worker_command import Worker, WorkerCommand
from apps.messages.base import Priority


class Command(WorkerCommand):
    help = "Sends failed messages to their next attempt or to the dead letters, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        return WorkerThreads({f"router-{priority}": partial(RetryRouter, priority) for priority in Priority})
