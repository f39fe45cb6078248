"""HTTP adapter that looks at the time between connecting and sending.

To resolve a name, to connect and to agree on TLS may take seconds. An order whose time has run out by then must not be
sent, and that it was not sent must be certain: the connection is refused before a byte of the request is written.
"""

from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError


class LateConnectionAdapter(HTTPAdapter):
    """Adapter of `requests`. `is_too_late` is asked after each connect; if so, the connect fails."""

    def __init__(self, is_too_late: Callable[[], bool]) -> None:
        self._pools = _pools(is_too_late)
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **options: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(is_too_late: Callable[[], bool]) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            if is_too_late():
                raise NewConnectionError(self, "connecting took too long for the request to be sent")

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            if is_too_late():
                raise NewConnectionError(self, "connecting took too long for the request to be sent")

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
