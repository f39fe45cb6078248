"""Runs the consumer of status messages from RabbitMQ until SIGTERM."""

from typing import Any

from django.core.management.base import CommandError

from apps.events.consumers.rabbitmq import StatusConsumer
from apps.events.consumers.registry import load_consumers
from apps.events.process.worker_command import BackgroundCommand, Worker


class Command(BackgroundCommand):
    help = "Delivers status messages and alerts from RabbitMQ to this service's handlers, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        load_consumers()
        consumer = StatusConsumer()
        if not consumer.queues:
            raise CommandError("No app of this service handles a status message: is SERVICE the right one?")
        return consumer
