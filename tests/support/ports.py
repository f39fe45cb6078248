"""Ports for the servers and stacks that tests start: free ones, so that another stack on the machine fails no test."""

import json
import socket
from contextlib import ExitStack

from dev.base import ports, processes
from dev.base import profile as profiles
from dev.base.profile import PORTS

FIRST, LAST, STEP = 4000, 12000, 150


def free_ports(count: int) -> list[int]:
    """Different free ports of this machine, all held at once until they are known."""
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def free_port() -> int:
    [port] = free_ports(1)
    return port


def free_offset(name: str) -> int:
    """A port offset for the profile `name` whose ports are all free.

    The profile's present offset is kept while its processes run, or while its ports are free. Fails where none is left.
    """
    note = profiles.LOCAL / name / "profile.json"
    known = [int(json.loads(note.read_text())["offset"])] if note.is_file() else []
    offset: int
    for offset in (*known, *range(FIRST, LAST, STEP)):
        if offset in known and processes.running(profiles.load(name, {}, offset)):
            return offset
        if not any(ports.is_busy(port + offset) for port in PORTS.values()):
            note.unlink(missing_ok=True)
            return offset
    raise AssertionError(f"No port offset from {FIRST} to {LAST} has all of its ports free.")
