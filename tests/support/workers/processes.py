"""Starts processes for a test and ends every one of them with it."""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import UUID

import psutil
from django.db import connection

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent

# RabbitMQ lets no two workers of one name have a control queue.
_numbers = itertools.count()


class Processes:
    """Processes that see the test database and the broker of RABBITMQ_URL. `folder` holds plans, diary and logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[tuple[str, subprocess.Popen[bytes]]] = []

    def worker(
        self,
        queues: str,
        *,
        children: int = 1,
        name: str = "worker",
        limits: tuple[float, float] | None = None,
        progress_limit: float | None = None,
    ) -> "subprocess.Popen[bytes]":
        """A Celery worker with the tasks of tests.support.workers.tasks; returns once it consumes.

        `limits`: soft and hard time limit in seconds. `progress_limit`: seconds without progress until it reports down.
        """
        node = f"{name}-{os.getpid()}-{next(_numbers)}@localhost"
        command = [
            str(BIN / "celery"), "-A", "tests.support.workers.app", "worker",
            "-n", node, "-Q", queues, "-c", str(children), "--without-gossip", "--without-mingle", "-l", "INFO",
        ]  # fmt: skip
        more = {"TEST_WORKER_LIMITS": ",".join(map(str, limits))} if limits else {}
        if progress_limit is not None:
            more["TEST_PROGRESS_LIMIT"] = str(progress_limit)
        return self.start(name, command, until=f"{node} ready", **more)

    def manage(self, command: str, *, until: str = "", service: str = "staff") -> "subprocess.Popen[bytes]":
        words = [sys.executable, str(ROOT / "manage.py"), *command.split()]
        return self.start(command.split(maxsplit=1)[0], words, until=until, SERVICE=service)

    def start(self, name: str, command: list[str], *, until: str = "", **more: str) -> "subprocess.Popen[bytes]":
        log = self.log_of(len(self._started), name)
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment() | more,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append((name, process))
        deadline = time.monotonic() + 60
        while until not in log.read_text(errors="replace"):
            assert process.poll() is None, f"{name} ended:\n{log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"{name} does not say {until!r}:\n{log.read_text()[-3000:]}"
            time.sleep(0.05)
        return process

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
        database = urlsplit(os.environ["DATABASE_URL"])
        name = quote(str(connection.settings_dict["NAME"]))
        return inherited | {
            "DATABASE_URL": urlunsplit(database._replace(path=f"/{name}")),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "PYTHONUNBUFFERED": "1",
            "TEST_WORKER_FOLDER": str(self.folder),
        }

    def log_of(self, number: int, name: str) -> Path:
        return self.folder / f"{number}-{name}.log"

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in sorted(self.folder.glob("*.log")))

    def plan(self, subject: UUID, **plan: Any) -> None:
        (self.folder / f"{subject}.json").write_text(json.dumps(plan))

    def diary(self, subject: UUID | None = None, what: str | None = None) -> list[dict[str, Any]]:
        path = self.folder / "diary"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        return [
            line
            for line in lines
            if (subject is None or line["id"] == str(subject)) and (what is None or line["what"] == what)
        ]

    def attempts(self, subject: UUID) -> list[int]:
        return [line["attempt"] for line in self.diary(subject, "start")]

    def kill_all(self) -> None:
        """Whole sessions: a killed parent may leave its children behind."""
        for _, process in self._started:
            for each in session_of(process.pid):
                each.kill()
            process.wait(10)


def session_of(leader: int) -> list[psutil.Process]:
    """The processes of the session that a process has begun, itself included."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader:
                found.append(process)
        except (ProcessLookupError, PermissionError):
            continue
    return found
