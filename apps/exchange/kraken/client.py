"""python-kraken-sdk, with what we must rely on: the address asked for, nonces of our own, the answer as it came.

Of the SDK only ``SpotClient.request`` is used: it signs and sends. It is asked for raw answers, because it returns
every error that it does not know as if it were a result.
"""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from kraken.spot import SpotClient

from apps.exchange.addresses import LOOPBACK
from apps.exchange.errors import UnsafeExchangeUrl

_SDK_URL = SpotClient.URL

# A connection that has rested this long may be closed by the other side just when it is used again; a placement sent
# into it would be in doubt for nothing.
MAX_IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a connection and between bytes of the answer, and how often reads are tried."""

    connect_seconds: float = 3.0
    read_seconds: float = 10.0
    attempts: int = 3


class KrakenClient(SpotClient):
    """A session with one address, which `is_internal` where it is one of our own. Not for several threads at once."""

    def __init__(
        self, *, url: str, api_key: str = "", api_secret: str = "", patience: Patience, is_internal: bool
    ) -> None:
        if not url:
            raise UnsafeExchangeUrl("An exchange needs an address: without one the SDK would take Kraken's.")
        self._asks_proxies = not is_internal and urlsplit(url).hostname not in LOOPBACK
        self._patience = patience
        self._nonce: int | None = None
        self._used_at = 0.0
        super().__init__(key=api_key, secret=api_secret, url=url, use_custom_exceptions=False)
        if url != self.URL or SpotClient.URL != _SDK_URL:
            raise UnsafeExchangeUrl("The SDK does not keep to the address that it was given.")

    def get(self, path: str, params: dict[str, str]) -> requests.Response:
        """A public call. Raises what `requests` raises."""
        return self._send("GET", path, params, auth=False)

    def post_signed(self, path: str, params: dict[str, str], *, nonce: int, fresh: bool = False) -> requests.Response:
        """A private call. `fresh` takes a new connection unless the last one was in use a moment ago."""
        if fresh and time.monotonic() - self._used_at > MAX_IDLE_SECONDS:
            self._SpotClient__create_new_session()
        self._nonce = nonce
        try:
            return self._send("POST", path, params, auth=True)
        finally:
            self._nonce = None

    def get_nonce(self) -> str:
        """The SDK asks for it when it signs. Its own is neither unique nor rising."""
        assert self._nonce is not None, "private calls are made in a signing turn"
        nonce, self._nonce = self._nonce, None
        return str(nonce)

    def _send(self, method: str, path: str, params: dict[str, str], *, auth: bool) -> requests.Response:
        wait = (self._patience.connect_seconds, self._patience.read_seconds)
        try:
            # A copy: the SDK writes the nonce into the dictionary it is given.
            answer: Any = self.request(method, path, dict(params), timeout=wait, auth=auth)  # type: ignore[arg-type]
        finally:
            self._used_at = time.monotonic()
        assert isinstance(answer, requests.Response)
        return answer

    def _SpotClient__create_new_session(self) -> None:  # noqa: N802 (the SDK's private method, also called every 300 s)
        old: requests.Session | None = getattr(self, "_SpotClient__session", None)
        if old is not None:
            old.close()
        SpotClient._SpotClient__create_new_session(self)  # type: ignore[attr-defined]
        session: requests.Session = self._SpotClient__session  # type: ignore[attr-defined]
        # A redirected POST would be sent twice.
        session.max_redirects = 0
        # A proxy from the environment has no business between two processes of ours.
        session.trust_env = self._asks_proxies
