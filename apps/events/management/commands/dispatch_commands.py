from typing import Any

from django.core.management.base import BaseCommand

from apps.events.dispatcher import Dispatcher
from apps.events.loop import run_until_stopped


class Command(BaseCommand):
    help = "Sends commands and status messages from the outbox to RabbitMQ, confirmed, until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        dispatcher = Dispatcher()
        try:
            run_until_stopped(dispatcher.step)
        finally:
            dispatcher.close()
