"""Who runs a command, named so that a colleague on the same machine can tell whether that process still lives."""

import os
import socket
from functools import cache
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_worker() -> str:
    """`host/machine/pid/start`: machine tells boots and containers apart, start tells reused process numbers apart."""
    return _identity(os.getpid())


def has_died(worker: str) -> bool:
    """True where it is certain that the process is gone; False for a process of another machine or container."""
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
    # Process numbers mean something only within one boot of one PID namespace.
    try:
        return f"{_BOOT.read_text()[:8]}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """When the process started, in the kernel's ticks; '' where it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
