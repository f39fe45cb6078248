"""Ports for the servers and stacks that tests start: free ones, so that another stack on the machine fails no test."""

import fcntl
import functools
import json
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from dev.base import ports, processes
from dev.base import profile as profiles
from dev.base.profile import LOCAL, OFFSETS, PORTS

FIRST, LAST, STEP = 4000, 12000, 150
# Nobody else takes these, whether or not they are up at this moment.
KNOWN = {port + offset for port in PORTS.values() for offset in OFFSETS.values()}


def free_ports(count: int) -> list[int]:
    """Different free ports of this machine, all held at once until they are known."""
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def free_port() -> int:
    [port] = free_ports(1)
    return port


@functools.cache
def free_offset(name: str) -> int:
    """A port offset for the profile `name` whose ports are all free, reserved until this process ends.

    Test sessions side by side never get ports of each other, even before anything listens on them. The profile's
    present offset is kept while its processes run, or while its ports are free. Fails where none is left.
    """
    note = profiles.LOCAL / name / "profile.json"
    known = [int(json.loads(note.read_text())["offset"])] if note.is_file() else []
    offset: int
    for offset in (*known, *range(FIRST, LAST, STEP)):
        wanted = {port + offset for port in PORTS.values()}
        if wanted & KNOWN:
            continue
        runs = offset in known and bool(processes.running(profiles.load(name, {}, offset)))
        if (runs or not any(map(ports.is_busy, wanted))) and reserve(wanted, LOCAL / "reserved_ports"):
            if not runs:
                note.unlink(missing_ok=True)
            return offset
    raise AssertionError(f"No port offset from {FIRST} to {LAST} has all of its ports free.")


# The kernel lets go of a lock when its process ends, however that happens.
_reserved: dict[Path, IO[bytes]] = {}


def reserve(wanted: set[int], folder: Path) -> bool:
    """Keeps all of the ports for this process, or none: False where one is kept already, here or by another."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{port}.lock" for port in sorted(wanted)]
    if not _reserved.keys().isdisjoint(paths):
        return False
    with ExitStack() as held:
        files = {path: held.enter_context(path.open("wb")) for path in paths}
        try:
            for file in files.values():
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        held.pop_all()
    _reserved.update(files)
    return True
