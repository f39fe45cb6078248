"""How many worker processes and threads a web process has: as many as there are cores, within its database connections.

Each thread keeps one connection to PostgreSQL, so workers x threads is the most that a web process ever opens.
"""

import math
import os
from pathlib import Path
from typing import NamedTuple

from apps.core.process_table import Process

ALL = ""
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


class WebSize(NamedTuple):
    """Worker processes, and threads of each."""

    workers: int
    threads: int


def web_size(process: Process, *, workers: str, connections: str, cores: int) -> WebSize:
    """The size of a web process of the process table. `workers` and `connections` are settings as `per_process` reads
    them. Threads of a worker are fewer than the table says where the connections would not suffice otherwise."""
    most = per_process(connections, process.name) or 1
    wanted = per_process(workers, process.name) or (cores if process.follows_cores else 1)
    count = min(wanted, most)
    return WebSize(count, min(process.threads, most // count))


def per_process(setting: str, name: str) -> int | None:
    """The number for one process: of `3`, of `user=4,kraken=2`, or of `1,kraken=2`; None where it has none.

    Raises ValueError.
    """
    numbers: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in setting.split(","))):
        left, _, number = part.rpartition("=")
        if not (number.isascii() and number.isdigit() and int(number) > 0):
            raise ValueError("must be a whole number above 0, or one for each process, as in user=4,kraken=2")
        numbers[left.strip()] = int(number)
    return numbers.get(name, numbers.get(ALL))


def available_cores(cpu_limit: Path = _CPU_LIMIT) -> int:
    """The cores that this process may use: those of the machine, or the limit of its container, rounded up."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_limit.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))
