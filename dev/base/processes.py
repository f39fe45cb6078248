"""Starts, finds and stops the processes of a profile, and no others.

Each process carries a mark in its environment and is found by it in /proc. There is no pid file: it would be wrong
after a starter was killed between fork and write, after the kernel reused a pid, and after a reboot.
"""

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.base import data_folder
from dev.base.profile import Profile

# Environment variable of every process of a profile. Its value: the profile's folder, a colon, the process's name
MARK = "LOCAL_STACK_PROCESS"
# These programs overwrite or drop their environment. Their working directory, a folder of the profile, marks them.
UNMARKED = frozenset({"postgres", "redis-server", "redis-check-rdb", "nginx"})
# The name of helper programs (initdb, manage.py …). A starter that holds the profile's lock ends those that a killed
# starter left behind.
SETUP = "setup"
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class OwnProcess:
    """A running process of a profile. `started` (ticks since boot) tells it from a later process with the same pid."""

    pid: int
    parent: int
    started: int
    program: str
    name: str

    def is_alive(self) -> bool:
        stat = _stat(self.pid)
        return stat is not None and stat.started == self.started and stat.state not in "ZX"

    def send(self, number: signal.Signals) -> None:
        """Signals this process and no other: a process that got the same pid later gets nothing."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.is_alive():
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


@dataclass(frozen=True)
class _Stat:
    program: str
    state: str
    parent: int
    started: int


def running(profile: Profile) -> list[OwnProcess]:
    """All running processes of the profile, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            process = _own(profile, int(entry.name))
            if process is not None:
                found.append(process)
    return sorted(found, key=lambda process: (process.started, process.pid))


def named(profile: Profile, name: str) -> list[OwnProcess]:
    return [process for process in running(profile) if process.name == name]


def spawn(
    profile: Profile,
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    user: str | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a process that outlives this one. It logs to NAME.log, which only its owner may read; NAME.log.1 keeps the
    log of the previous start."""
    profile.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = profile.log(name)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    account = pwd.getpwnam(user) if user else None
    with open(log, "ab", opener=_for_the_owner) as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, MARK: mark(profile, name)},
            cwd=folder,
            start_new_session=True,
            # Logs that circus and nginx open themselves are the owner's, too.
            umask=0o077,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def setup_environment(profile: Profile, given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a helper program of a profile: `given` and the mark."""
    return {**given, MARK: mark(profile, SETUP)}


def end_forgotten_helpers(profile: Profile) -> None:
    """Kills the helper programs that a killed starter left behind. The caller holds the profile's lock."""
    stop(named(profile, SETUP), first=signal.SIGKILL, seconds=5.0)


def mark(profile: Profile, name: str) -> str:
    return f"{profile.folder}:{name}"


def stop(processes: Sequence[OwnProcess], *, first: signal.Signals, seconds: float) -> list[OwnProcess]:
    """Sends `first` to each process and kills those that still run after `seconds`. Returns the killed ones."""
    for process in processes:
        process.send(first)
        # A stopped process (SIGSTOP) handles other signals only after this one.
        process.send(signal.SIGCONT)
    left = wait_until_gone(processes, seconds)
    for process in left:
        process.send(signal.SIGKILL)
    wait_until_gone(left, 5.0)
    return left


def stop_all(profile: Profile) -> None:
    """Ends all processes of the profile: SIGTERM first, then SIGKILL."""
    stop(running(profile), first=signal.SIGTERM, seconds=5.0)


def wait_until_gone(processes: Sequence[OwnProcess], seconds: float) -> list[OwnProcess]:
    """Waits up to `seconds` and returns the processes that still run."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if process.is_alive()]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = [process for process in left if process.is_alive()]
    return left


def runs(pid: int, program: str) -> bool:
    """Whether the process with that pid runs that program. A zombie does not run."""
    stat = _stat(pid)
    return stat is not None and stat.state not in "ZX" and stat.program == program


def _own(profile: Profile, pid: int) -> OwnProcess | None:
    stat = _stat(pid)
    if stat is None or stat.state in "ZX":
        return None
    name = _marked_name(profile, pid) or _name_by_folder(profile, pid, stat.program)
    return OwnProcess(pid, stat.parent, stat.started, stat.program, name) if name else None


def variable(pid: int, name: str) -> str | None:
    """A variable of the environment that the process was started with; None where it has none, or may not be read."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    wanted = f"{name}=".encode()
    values = (entry[len(wanted) :] for entry in environment.split(b"\0") if entry.startswith(wanted))
    return next((os.fsdecode(value) for value in values), None)


def _marked_name(profile: Profile, pid: int) -> str | None:
    folder, _, name = (variable(pid, MARK) or "").rpartition(":")
    return name if folder == str(profile.folder) else None


def _name_by_folder(profile: Profile, pid: int, program: str) -> str | None:
    if program not in UNMARKED:
        return None
    try:
        folder = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None
    return next((name for name, owned in _folders(profile) if folder == owned or owned in folder.parents), None)


def _folders(profile: Profile) -> Iterator[tuple[str, Path]]:
    yield "postgres", data_folder.of(profile) / "data"
    yield SETUP, data_folder.of(profile) / "data.new"
    yield "redis", profile.folder / "redis"
    yield "gateway", profile.folder / "gateway"


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # pid (program) state ppid …: the program's name may hold spaces and parentheses.
    program, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return _Stat(program=program, state=fields[0], parent=int(fields[1]), started=int(fields[19]))
