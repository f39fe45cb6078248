"""Runs helper programs (initdb, pip, Maven …) to their end: output to a log, Ctrl-C ends them."""

import contextlib
import os
import pwd
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from dev.base.errors import Cancelled
from dev.base.progress import WAITING, say

_cancelled = threading.Event()
POLL_SECONDS = 0.05


def cancel_all() -> None:
    """Ends all helper programs; the steps that wait for them raise Cancelled."""
    _cancelled.set()


def is_cancelled() -> bool:
    return _cancelled.is_set()


def reset() -> None:
    """Allows helper programs again, for the clean-up after a failure."""
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

    `environment` is the whole of it, this process's own where none is given; a program that works for a profile is
    given the profile's mark in it (processes.setup_environment).

    Raises Cancelled after `cancel_all`. A program that must not be interrupted (dpkg) is waited for instead.
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
    try:
        while child.poll() is None:
            if _cancelled.is_set() and may_be_interrupted:
                raise Cancelled
            time.sleep(POLL_SECONDS)
    except BaseException:
        if may_be_interrupted:
            _end(child)
        else:
            say(f"  {WAITING} Waiting for {command[0]} to end: it may not be cut off in the middle")
            child.wait()
        raise
    if _cancelled.is_set():
        raise Cancelled
    return child.returncode


def in_parallel(jobs: Sequence[Callable[[], None]]) -> None:
    """Runs all jobs in parallel. The first failure or Ctrl-C cancels the others and is raised when they have ended."""
    if not jobs:
        return
    with ThreadPoolExecutor(max_workers=len(jobs)) as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if any(not future.done() or future.exception() for future in futures):
                cancel_all()
    failures = [error for error in (future.exception() for future in futures) if error is not None]
    for error in sorted(failures, key=lambda each: isinstance(each, Cancelled)):
        raise error


def _end(child: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)
            return
