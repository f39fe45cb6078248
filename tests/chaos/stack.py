"""Everything that a round of chaos needs: servers, processes and writers, up and ready."""

import json
import queue
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg2

from dev.base import processes
from dev.config import environment
from tests.chaos.evidence import Evidence
from tests.chaos.fleet import Fleet
from tests.chaos.leftovers import Leftovers
from tests.chaos.servers import Servers, fresh_profile, inherited
from tests.chaos.witness import tables
from tests.chaos.writer import Journal, Order
from tests.support.waiting import comes_true
from tests.support.workers.processes import ROOT

# Small, so that "at most one batch twice" says something; short, so that a round lasts seconds.
BATCH_ROWS = 40
LEASE_SECONDS = 3
DELAYS_SECONDS = "1,1,1,1"


class Stack:
    """Use it as a context; `folder` takes the processes' logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.servers = Servers(fresh_profile())
        self.environment = self._environment_of_processes()
        self.fleet = Fleet(self.environment, folder)
        self.evidence = Evidence(self.servers)
        self.leftovers = Leftovers(self.servers, self.evidence.query)
        self._writer: subprocess.Popen[str] | None = None
        self._journals: queue.Queue[Journal] = queue.Queue()
        self._orders = 0

    def __enter__(self) -> Self:
        try:
            self.servers.start_all()
            self.manage("setup_database", SERVICE="staff", MUCKARD_DB_ROLE="owner")
            self.manage("declare_topology", SERVICE="staff")
            with psycopg2.connect(self.servers.direct_url("postgres")) as connection, connection.cursor() as cursor:
                cursor.execute(tables.CREATE)
            connection.close()
            self.fleet.start()
            self._start_writer()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.kill()
            self._writer.communicate()
        self.fleet.stop()
        self.servers.kill_all()

    def manage(self, *command: str, **more: str) -> str:
        """One of the platform's own commands, run to its end; what it printed."""
        called = [sys.executable, str(ROOT / "manage.py"), *command]
        done = subprocess.run(
            called, cwd=ROOT, env=self.environment | more, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def write(self, order: Order) -> None:
        """Lets the writers begin; ask for their journal when they are to have ended."""
        assert self._writer is not None
        assert self._writer.stdin is not None
        self._orders += 1
        self._writer.stdin.write(json.dumps(asdict(replace(order, number=self._orders))) + "\n")
        self._writer.stdin.flush()

    def journal(self, seconds: float) -> Journal:
        """Of the last order; one that a failed test left behind is nobody's. Raises queue.Empty."""
        while (journal := self._journals.get(timeout=seconds)).number != self._orders:
            continue
        return journal

    def has_journal(self) -> bool:
        """Whether the writers have ended, so that `journal` answers at once."""
        with self._journals.mutex:
            return any(journal.number == self._orders for journal in self._journals.queue)

    def is_idle(self) -> bool:
        """Nothing waits, and every process has found its servers."""
        return self.evidence.outbox_rows() == 0 and self.evidence.heartbeats() >= {
            "relay", "kafka", "rabbitmq", "dispatcher", "retry-router", "retry-router.high", "status-consumer",
            "event-consumer.chaos.witness",
        }  # fmt: skip

    def wait_until_idle(self, seconds: float) -> None:
        assert comes_true(self.is_idle, seconds=seconds), f"not ready within {seconds:g} s\n{self.fleet.logs()}"

    def _start_writer(self) -> None:
        with (self._folder / "writer.0.log").open("w") as log:
            self._writer = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.writer"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._writer.stdout is not None
        assert self._writer.stdout.readline() == "ready\n", (self._folder / "writer.0.log").read_text()
        threading.Thread(target=self._read_journals, daemon=True, name="journals").start()

    def _read_journals(self) -> None:
        assert self._writer is not None
        assert self._writer.stdout is not None
        for line in self._writer.stdout:
            self._journals.put(Journal(**json.loads(line)))

    def _environment_of_processes(self) -> dict[str, str]:
        return (
            inherited()
            | environment.contract(self.servers.profile, {})
            | self.servers.urls()
            | {
                "MUCKARD_ENVIRONMENT": "test",
                "MUCKARD_RELAY_BATCH_ROWS": str(BATCH_ROWS),
                "MUCKARD_LEASE_SECONDS": str(LEASE_SECONDS),
                "MUCKARD_RETRY_DELAYS_SECONDS": DELAYS_SECONDS,
                "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
                "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
                "PYTHONUNBUFFERED": "1",
                # So that a session finds and ends what an earlier one was killed in the middle of.
                processes.MARK: processes.mark(self.servers.profile, "platform"),
            }
        )
