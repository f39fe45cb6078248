"""Runs the dispatcher, which sends outbox rows to RabbitMQ, until SIGTERM."""

from typing import Any

from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.process.worker_command import BackgroundCommand, Worker


class Command(BackgroundCommand):
    help = "Sends commands and status messages from the outbox to RabbitMQ, confirmed, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        return Dispatcher()
