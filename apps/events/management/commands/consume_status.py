from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.events.consumers import load_consumers
from apps.events.loop import run_until_stopped
from apps.events.status import StatusConsumer


class Command(BaseCommand):
    help = "Hands status messages and alerts from RabbitMQ to this service's handlers, until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        load_consumers()
        consumer = StatusConsumer()
        if not consumer.queues:
            raise CommandError("No app of this service handles a status message: is SERVICE the right one?")
        try:
            run_until_stopped(consumer.step)
        finally:
            consumer.close()
