"""HTTP adapter that looks at the time between connecting and sending.

To resolve a name, to connect and to agree on TLS may take seconds. An order whose time has run out by then must not be
sent, and that it was not sent must be certain: the connection is refused before a byte of the request is written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

# A context variable, not a callback: an adapter that knew its client would keep both, with their open connections,
# until the next garbage collection.
_leave_by: ContextVar[float | None] = ContextVar("leave_by", default=None)


@contextmanager
def leaving_within(seconds: float) -> Iterator[None]:
    """In the block a connection that took longer than this since the block began fails as if it was not made."""
    token = _leave_by.set(monotonic() + seconds)
    try:
        yield
    finally:
        _leave_by.reset(token)


def _refuse_late(connection: HTTPConnection) -> None:
    leave_by = _leave_by.get()
    if leave_by is not None and monotonic() > leave_by:
        raise NewConnectionError(connection, "connecting took too long for the request to be sent")


class _Plain(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _refuse_late(self)


class _Secure(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _refuse_late(self)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS: dict[str, Any] = {"http": _PlainPool, "https": _SecurePool}


class LateConnectionAdapter(HTTPAdapter):
    """Adapter of `requests` whose connections keep to `leaving_within`."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager
