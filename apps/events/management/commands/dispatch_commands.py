"""Sends the outbox to RabbitMQ until it is told to stop."""

from typing import Any

from apps.events.background import BackgroundCommand, Worker
from apps.events.dispatcher import Dispatcher


class Command(BackgroundCommand):
    help = "Sends commands and status messages from the outbox to RabbitMQ, confirmed, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        return Dispatcher()
