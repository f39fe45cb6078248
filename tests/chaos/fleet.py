"""The platform's background processes, real ones: what dies is started again at once, as circus does it."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.witness.consumers import GROUP
from tests.support.workers.processes import BIN, ROOT, session_of

WATCH_SECONDS = 0.1


@dataclass(frozen=True)
class Role:
    """A process: its command, and the database role it has in production where it has one of its own."""

    name: str
    command: tuple[str, ...]
    database_role: str = ""


def django(name: str, *command: str, database_role: str = "") -> Role:
    return Role(name, (sys.executable, "-m", "django", *command), database_role)


# Of a name: RabbitMQ lets no two workers of one name have a control queue.
WORKER = (
    str(BIN / "celery"), "-A", "celery_app", "worker", "-n", "{node}", "-Q", "bot.stop,bot.trigger_trade", "-c", "2",
    "--without-gossip", "--without-mingle", "-l", "INFO",
)  # fmt: skip

ROLES = (
    django("relay-1", "run_relay", database_role="relay"),
    django("relay-2", "run_relay", database_role="relay"),
    django("dispatcher", "run_dispatcher", database_role="dispatcher"),
    django("router", "run_retry_router", database_role="dispatcher"),
    django("consumer", "run_event_consumer", "--group", GROUP),
    django("status", "run_status_consumer"),
    Role("worker", WORKER),
)


@dataclass(frozen=True)
class Size:
    """What a process holds: a process that leaks shows it here."""

    pid: int
    memory_mib: float
    threads: int
    files: int


class Fleet:
    """Started with `environment`; logs go to `folder`, one file a start."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._numbers = itertools.count()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._sessions: list[int] = []
        self._lock = threading.RLock()
        self._is_over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="fleet", daemon=True)
        self.unexpected_ends: list[str] = []
        self._killed: set[int] = set()
        self._held: set[str] = set()
        self.kills: Counter[str] = Counter()

    def start(self) -> None:
        folder = self._folder
        folder.mkdir(parents=True, exist_ok=True)
        for role in ROLES:
            self._begin(role)
        self._watcher.start()

    def pid_of(self, name: str) -> int:
        with self._lock:
            return self._running[name].pid

    def pids(self) -> dict[str, int]:
        with self._lock:
            return {name: process.pid for name, process in self._running.items()}

    def kill(self, name: str) -> None:
        """kill -9. A worker's children are left to themselves, as they would be."""
        with self._lock:
            process = self._running[name]
            self._killed.add(process.pid)
            self.kills[name] += 1
            process.kill()

    def kill_child(self, name: str) -> None:
        """One of a worker's pool. Nothing where it has none at the moment."""
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            psutil.Process(self.pid_of(name)).children()[0].kill()

    def freeze(self, name: str) -> Callable[[], None]:
        """Stops the process's clock; the function returned lets it go on, if it still is that process."""
        process = psutil.Process(self.pid_of(name))
        process.suspend()

        def thaw() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

        return thaw

    def hold(self, name: str) -> Callable[[], None]:
        """kill -9, and no new start until the function returned is called."""
        with self._lock:
            self._held.add(name)
            self.kill(name)
            self._running[name].wait(10)

        def release() -> None:
            with self._lock:
                self._held.discard(name)
                self._begin(next(role for role in ROLES if role.name == name))

        return release

    @contextlib.contextmanager
    def killing(self, names: Sequence[str], *, every_seconds: float) -> Iterator[None]:
        """kill -9 of each of them, again and again, while the block runs."""
        is_over = threading.Event()

        def kill_them() -> None:
            while not is_over.wait(every_seconds):
                for name in names:
                    self.kill(name)

        thread = threading.Thread(target=kill_them, name="killer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join(10)

    def restart_all(self) -> None:
        """kill -9 of everything, at once."""
        with self._lock:
            for name in self._running:
                self.kill(name)

    def sizes(self) -> dict[str, Size]:
        found = {}
        for name, pid in self.pids().items():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                with process.oneshot():
                    memory = process.memory_info().rss / 2**20
                    found[name] = Size(pid, memory, process.num_threads(), process.num_fds())
        return found

    def logs(self, characters: int = 1500) -> str:
        """The ends of the newest log of each process."""
        newest = {path.stem.split(".")[0]: path for path in sorted(self._folder.glob("*.log"), key=_started_at)}
        return "\n".join(
            f"==> {path.name}\n{path.read_text(errors='replace')[-characters:]}" for path in newest.values()
        )

    def stop(self) -> None:
        self._is_over.set()
        if self._watcher.is_alive():
            self._watcher.join(10)
        # Whole sessions: a killed parent may have left its children behind.
        for session in self._sessions:
            for each in session_of(session):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        for process in self._running.values():
            process.wait(10)

    def _begin(self, role: Role) -> None:
        number = next(self._numbers)
        command = [word.format(node=f"{role.name}-{os.getpid()}-{number}@localhost") for word in role.command]
        more = {"MUCKARD_DB_ROLE": role.database_role} if role.database_role else {}
        with (self._folder / f"{role.name}.{number}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environment | more,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[role.name] = process
        self._sessions.append(process.pid)

    def _watch(self) -> None:
        while not self._is_over.wait(WATCH_SECONDS):
            with self._lock:
                for role in ROLES:
                    process = self._running[role.name]
                    if role.name in self._held or process.poll() is None:
                        continue
                    if process.pid not in self._killed:
                        self.unexpected_ends.append(f"{role.name} ended by itself with {process.returncode}")
                        self._is_over.wait(1.0)
                    self._begin(role)


def _started_at(path: Path) -> int:
    return int(path.stem.split(".")[1])


def end_gently(process: "subprocess.Popen[bytes]", seconds: float = 10.0) -> None:
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return
    process.kill()
    process.wait()
