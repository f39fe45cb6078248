from typing import Any

from django.core.management.base import BaseCommand

from apps.events.process.run_loop import run_until_stopped
from apps.trading.scheduler import Scheduler


class Command(BaseCommand):
    help = "Sends workers wake-up messages for due bots, until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        scheduler = Scheduler()
        try:
            run_until_stopped(scheduler.step)
        finally:
            scheduler.close()
