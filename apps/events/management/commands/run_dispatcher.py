"""Sends the outbox to RabbitMQ until it is told to stop."""

from collections.abc import Callable, Mapping
from typing import Any

from apps.events.brokers.rabbitmq.queue_figures import read_queues
from apps.events.outbox.dispatcher.dispatcher import Dispatcher
from apps.events.process.worker_command import Worker, WorkerCommand


class Command(WorkerCommand):
    help = "Sends commands and status messages from the outbox to RabbitMQ, confirmed, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        return Dispatcher()

    def figures(self, options: dict[str, Any]) -> Mapping[str, Callable[[], None]]:
        return {"rabbitmq-queues": read_queues}
