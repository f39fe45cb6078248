from typing import Any

from django.core.management.base import BaseCommand

from apps.events.loop import run_until_stopped
from apps.events.retry_router import RetryRouter


class Command(BaseCommand):
    help = "Sends failed messages to their next attempt or to the dead letters, until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        router = RetryRouter()
        try:
            run_until_stopped(router.step)
        finally:
            router.close()
