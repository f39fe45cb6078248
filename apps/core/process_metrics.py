"""Metrics that every process has: what it is, and its connections to PostgreSQL."""

import platform
import threading
import weakref
from typing import Any

from apps.core.metrics import EVERY, gauge
from apps.core.version import VERSION

build_info = gauge(
    "platform_build_info", "1; the labels say which version of the platform and of Python runs.", ["version", "python"],
    processes=EVERY,
)  # fmt: skip
database_connections = gauge(
    "database_connections", "Connections to PostgreSQL that the process has open.", processes=EVERY, children="livesum"
)


class OpenConnections:
    """The open connections of this process. One that a thread leaves behind when it ends counts until the next change.

    No finalizer counts them: garbage collection may run inside prometheus_client's lock, and would wait for itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()

    def opened(self, connection: Any) -> None:
        with self._lock:
            self._open.add(connection)
            database_connections.set(len(self._open))

    def closed(self, connection: Any) -> None:
        with self._lock:
            self._open.discard(connection)
            database_connections.set(len(self._open))


def name_build() -> None:
    """Sets the build's gauge; once a process, after a fork."""
    build_info.labels(VERSION, platform.python_version()).set(1)
