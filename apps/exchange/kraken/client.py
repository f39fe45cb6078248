"""HTTP client over python-kraken-sdk, with a fixed address, the platform's nonces and raw answers.

Of the SDK only ``SpotClient.request`` is used: it signs and sends. Raw answers are requested, because the SDK returns
errors that it does not know as if they were results.
"""

from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import requests
from kraken.spot import SpotClient

from apps.exchange.addresses import LOOPBACK
from apps.exchange.errors import UnsafeExchangeUrl
from apps.exchange.kraken.late_connections import LateConnectionAdapter, leaving_within

_SDK_URL = SpotClient.URL

# The server may close a connection that has been idle this long at the moment of its next use. A placement sent on it
# would have an unknown outcome without need.
MAX_IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """Timeouts of a connection and between bytes of the answer, and the number of attempts of a read."""

    connect_seconds: float = 3.0
    read_seconds: float = 10.0
    attempts: int = 3


class KrakenClient(SpotClient):
    """A session with one address; `is_internal`: the address is the platform's own. Not thread-safe."""

    def __init__(
        self, *, url: str, api_key: str = "", api_secret: str = "", policy: CallPolicy, is_internal: bool
    ) -> None:
        if not url:
            raise UnsafeExchangeUrl("An exchange needs an address: without one the SDK would take Kraken's.")
        self._asks_proxies = not is_internal and urlsplit(url).hostname not in LOOPBACK
        self._policy = policy
        self._nonce: int | None = None
        self._used_at = 0.0
        super().__init__(key=api_key, secret=api_secret, url=url, use_custom_exceptions=False)
        if url != self.URL or SpotClient.URL != _SDK_URL:
            raise UnsafeExchangeUrl("The SDK does not keep to the address that it was given.")

    def get(self, path: str, params: dict[str, str]) -> requests.Response:
        """A public call. Raises what `requests` raises."""
        return self._send("GET", path, params, auth=False)

    def post_signed(
        self, path: str, params: dict[str, str], *, nonce: int, read_seconds: float | None = None
    ) -> requests.Response:
        """A private call. Raises what `requests` raises. `read_seconds` bounds the wait between bytes of the answer."""
        self._nonce = nonce
        try:
            return self._send("POST", path, params, auth=True, read_seconds=read_seconds)
        finally:
            self._nonce = None

    def post_placement(
        self, path: str, params: dict[str, str], *, nonce: int, leave_within: float
    ) -> requests.Response:
        """A private call that is dropped unless it leaves within so many seconds.

        Opens a new connection unless the last one was used within MAX_IDLE_SECONDS. Where connecting takes longer than
        `leave_within`, it raises what a failed connect raises: no byte of the request was written.
        """
        with leaving_within(leave_within):
            if monotonic() - self._used_at > MAX_IDLE_SECONDS:
                self._SpotClient__create_new_session()
            return self.post_signed(path, params, nonce=nonce)

    def get_nonce(self) -> str:
        """Called by the SDK when it signs. The SDK's own nonces are neither unique nor increasing."""
        assert self._nonce is not None, "private calls are made in a signing turn"
        nonce, self._nonce = self._nonce, None
        return str(nonce)

    def _send(
        self, method: str, path: str, params: dict[str, str], *, auth: bool, read_seconds: float | None = None
    ) -> requests.Response:
        longest = self._policy.read_seconds
        wait = (self._policy.connect_seconds, longest if read_seconds is None else min(longest, read_seconds))
        try:
            # A copy: the SDK writes the nonce into the dictionary.
            answer: Any = self.request(method, path, dict(params), timeout=wait, auth=auth)  # type: ignore[arg-type]
        finally:
            self._used_at = monotonic()
        assert isinstance(answer, requests.Response)
        return answer

    def _SpotClient__create_new_session(self) -> None:  # noqa: N802 (the SDK's private method, also called every 300 s)
        old: requests.Session | None = getattr(self, "_SpotClient__session", None)
        if old is not None:
            old.close()
        SpotClient._SpotClient__create_new_session(self)  # type: ignore[attr-defined]
        session: requests.Session = self._SpotClient__session  # type: ignore[attr-defined]
        # No redirects: a redirected POST is sent twice.
        session.max_redirects = 0
        # Proxies of the environment are not used between the platform's own processes.
        session.trust_env = self._asks_proxies
        adapter = LateConnectionAdapter()
        session.mount("https://", adapter)
        session.mount("http://", adapter)
