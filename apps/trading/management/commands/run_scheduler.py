"""Sends workers wake-up messages for due bots, until it is told to stop."""

from typing import Any

from apps.events.process.worker_command import Worker, WorkerCommand
from apps.trading.scheduler import Scheduler


class Command(WorkerCommand):
    help = "Sends wake-up messages to the workers for bots that are due, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        return Scheduler()
