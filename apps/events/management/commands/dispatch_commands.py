"""Sends the outbox to RabbitMQ until it is told to stop."""

from typing import Any

from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.process.worker_command import Worker, WorkerCommand


class Command(WorkerCommand):
    help = "Sends commands and status messages from the outbox to RabbitMQ, confirmed, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        return Dispatcher()
