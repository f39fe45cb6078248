"""Finds busy ports before anything starts, and names the process that holds one."""

import contextlib
import socket
from collections.abc import Iterable
from pathlib import Path

from apps.core.process_table import PROCESSES
from dev.base.errors import StackError
from dev.base.profile import APPLICATION_PORTS, Profile, metrics_port, variable

TITLES = {
    "postgres": "PostgreSQL",
    "rabbitmq": "RabbitMQ",
    "rabbitmq_management": "RabbitMQ's management",
    "rabbitmq_metrics": "RabbitMQ's metrics",
    "rabbitmq_dist": "RabbitMQ's Erlang distribution",
    "epmd": "Erlang's port mapper",
    "redis": "Redis",
    "kafka": "Kafka",
    "kafka_controller": "Kafka's controller",
    **{name: f"the process {name}" for name in APPLICATION_PORTS},
    **{metrics_port(name): f"the process {name} (metrics)" for name in PROCESSES},
}


def refuse_busy(profile: Profile, names: Iterable[str]) -> None:
    """Raises StackError for the first of these ports that another process listens on."""
    for name in names:
        port = profile.ports[name]
        if is_busy(port):
            who = holder(port) or "a process that this user cannot see"
            raise StackError(
                f"Port {port}, which {TITLES[name]} needs, is taken by {who}.",
                advice=f"end that process, or give {TITLES[name]} another port: {variable(name)}={port + 5000}",
            )


def is_busy(port: int) -> bool:
    """Whether a process listens on the port, on 127.0.0.1 or on all addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        # As the servers do: connections in TIME_WAIT do not make the port busy.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def holder(port: int) -> str | None:
    """Program and pid of the process that listens on a port; None if this user may not see it."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in sockets:
                        return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> Iterable[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
