"""Helper programs that a step waits for (initdb, pip, Maven …): their output goes to a log, Ctrl-C ends them."""

import contextlib
import os
import pwd
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.errors import Cancelled

_cancelled = threading.Event()
POLL_SECONDS = 0.05


def cancel_all() -> None:
    """Every helper program ends, and the step that waits for it gives up."""
    _cancelled.set()


def is_cancelled() -> bool:
    return _cancelled.is_set()


def reset() -> None:
    """What follows may run helper programs again: the clearing up after a failure does."""
    _cancelled.clear()


def run_logged(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user: str | None = None,
    text: str = "",
    may_be_interrupted: bool = True,
) -> int:
    """Runs a program to its end and returns its exit code; what it prints is added to `log`.

    `environment` is the whole of it, this process's own where none is given.

    Raises Cancelled where the whole run was given up. A program that must not be cut in the middle (dpkg) is waited
    for instead.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    account = pwd.getpwnam(user) if user else None
    with log.open("ab") as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment if environment is not None else os.environ),
            cwd=folder,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
    with contextlib.suppress(BrokenPipeError):
        assert child.stdin is not None
        child.stdin.write(text.encode())
        child.stdin.close()
    while child.poll() is None:
        if _cancelled.is_set() and may_be_interrupted:
            _end(child)
            raise Cancelled
        time.sleep(POLL_SECONDS)
    if _cancelled.is_set():
        raise Cancelled
    return child.returncode


def _end(child: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)
            return
