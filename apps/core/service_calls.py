"""Calls from one service of the platform to another, over HTTP, inside the platform's own network."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from apps.core.identity import service_token
from apps.core.tracing import current_traceparent


def service_call(
    method: str, url: str, *, audience: str, timeout: tuple[float, float], body: Any = None
) -> requests.Response:
    """Sends a request with a service token for `audience`. `timeout`: seconds to connect and to read.

    Proxies of the environment are not used, and redirects are not followed. Raises requests.RequestException.
    """
    with requests.Session() as session:
        session.trust_env = False
        return session.request(
            method, url, json=body, headers=_headers(audience), timeout=timeout, allow_redirects=False
        )


@contextmanager
def service_stream(url: str, *, audience: str, timeout: tuple[float, float]) -> Iterator[Iterator[str]]:
    """The lines of an answer to a GET as they arrive, otherwise as `service_call`. `timeout`: seconds to connect, and
    of silence.

    Raises requests.RequestException, in the block too, and for any status but 200.
    """
    with requests.Session() as session:
        session.trust_env = False
        with session.get(
            url, headers=_headers(audience), timeout=timeout, allow_redirects=False, stream=True
        ) as response:
            if response.status_code != requests.codes.ok:
                raise requests.HTTPError(f"{audience} answered {response.status_code}")
            # Of bytes: text would also be split where it has U+2028 and the like.
            yield (line.decode() for line in response.iter_lines(chunk_size=65_536))


def _headers(audience: str) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {service_token.mint(audience=audience)}"}
    if traceparent := current_traceparent():
        headers["traceparent"] = traceparent
    return headers
