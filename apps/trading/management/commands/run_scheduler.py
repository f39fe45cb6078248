"""Sends workers wake-up messages for due bots, until it is told to stop."""

from functools import partial
from typing import Any

from apps.core.terms import Mode
from apps.events.process.threads import WorkerThreads
from apps.events.process.worker_command import Worker, WorkerCommand
from apps.trading.candle_watcher import CandleWatcher
from apps.trading.scheduler import Scheduler


class Command(WorkerCommand):
    help = "Sends wake-up messages to the workers for bots that are due, until SIGTERM."

    def worker(self, options: dict[str, Any]) -> Worker:
        watchers = {f"candles-{mode}": partial(CandleWatcher, mode) for mode in Mode}
        return WorkerThreads({"ticks": Scheduler, **watchers})
