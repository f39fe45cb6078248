"""Identity of a worker process, from which other processes on the machine can tell whether it still runs."""

import os
import socket
from functools import cache
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_worker() -> str:
    """`host/machine/pid/start`. `machine` identifies boot and container; `start` detects a reused process id."""
    return _identity(os.getpid())


def has_died(worker: str) -> bool:
    """True if the process has certainly ended; False for a process of another machine or container."""
    host, _, rest = worker.partition("/")
    machine, _, process = rest.partition("/")
    pid, _, started = process.partition("/")
    if (host, machine) != (_host(), _machine()) or not pid.isdigit():
        return False
    return _start_of(int(pid)) != started


@cache
def _identity(pid: int) -> str:
    return f"{_host()}/{_machine()}/{pid}/{_start_of(pid)}"


@cache
def _host() -> str:
    return socket.gethostname()


@cache
def _machine() -> str:
    # Process ids are unique only within one boot and one PID namespace.
    try:
        return f"{_BOOT.read_text()[:8]}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """Start time of the process in clock ticks since boot; empty if it has ended or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
