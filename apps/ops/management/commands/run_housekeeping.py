"""The housekeeping process: closures of accounts, old rows, months of the event store, retention of the topics."""

from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.events.process.threads import WorkerThreads
from apps.events.process.worker_command import Worker, WorkerCommand
from apps.ops.housekeeping.keeper import Keeper
from apps.ops.housekeeping.task import Lane
from apps.ops.housekeeping.tasks import TASKS


class Command(WorkerCommand):
    help = (
        "Does the housekeeping until it is told to stop: goes on with closures of accounts, deletes what has expired, "
        "makes partitions ahead of time, and checks how long Kafka keeps events. Run with SERVICE=user. A second one "
        "is a hot standby."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--once", action="store_true", help="run each task until nothing is left to do, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["once"]:
            super().handle(*args, **options)
            return
        failed = [f"{task.name}: {problem}" for task in TASKS if (problem := self._run_out(task.run))]
        if failed:
            raise CommandError("\n".join(failed))

    def worker(self, options: dict[str, Any]) -> Worker:
        return WorkerThreads({lane.value: partial(Keeper, lane, TASKS) for lane in Lane})

    def _run_out(self, run: Any) -> str:
        """Why the task failed; empty if it did not."""
        try:
            while run(timezone.now()):
                pass
        except PlatformError as error:
            return error.message
        return ""
