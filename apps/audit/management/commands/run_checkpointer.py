"""Puts settled events into signed Merkle checkpoints and makes months of partitions ahead, until it is told to stop."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from apps.audit import checkpoints
from apps.audit.checkpointer import Checkpointer
from apps.audit.figures import read_postgresql
from apps.events.process.worker_command import WorkerCommand


class Command(WorkerCommand):
    help = "Puts settled events into signed Merkle checkpoints, until SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--once", action="store_true", help="sign what there is, then end")
        parser.add_argument("--witness", type=Path, help="a file outside the database that gets every signed note too")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["once"]:
            super().handle(*args, **options)
            return
        checkpointer = self.worker(options)
        more = True
        while more:
            more = checkpointer.step() == 0.0
            if checkpointer.last:
                self.stdout.write(f"Sealed {checkpointer.last.events} events.")
            if checkpointer.refusal:
                raise CommandError(checkpointer.refusal)

    def worker(self, options: dict[str, Any]) -> Checkpointer:
        pem = settings.ENVIRONMENT.secret("audit_signing_key", needed_for="signing the audit log's checkpoints")
        return Checkpointer(checkpoints.signing_key(pem), options["witness"])

    def figures(self, options: dict[str, Any]) -> Mapping[str, Callable[[], None]]:
        return {"postgresql": read_postgresql}
