"""How these tests ask: through nginx, from addresses of their own, and in raw bytes where no client would do it."""

import socket
from dataclasses import dataclass
from http.client import HTTPResponse
from itertools import count
from typing import Any

import requests

from tests.support.members import PASSWORD

JSON = {"Content-Type": "application/json"}
# A call of each service that reads a body.
CALLS = {"user": "PATCH /api/v1/user/me", "kraken": "POST /api/v1/bot"}
_addresses = count(1)


@dataclass(frozen=True)
class Caller:
    """Sends to one service's call, from an address of its own."""

    url: str
    call: str
    headers: dict[str, str]

    def send(self, body: Any, **headers: str) -> requests.Response:
        method, path = self.call.split()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, self.url + path, data=body, headers=self.headers | JSON | named, timeout=60)


def address() -> dict[str, str]:
    return {"X-Forwarded-For": f"10.200.{next(_addresses) >> 8}.{next(_addresses) & 255}"}


def log_in(url: str, email: str, password: str = PASSWORD, **headers: str) -> requests.Response:
    body = {"email": email, "password": password}
    return requests.post(f"{url}/api/v1/auth/login", json=body, headers=address() | headers, timeout=60)


def refused(answer: requests.Response) -> tuple[int, str]:
    """Status and code of an answer in the one error shape."""
    assert answer.headers["Content-Type"].startswith("application/json")
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details", "request_id"}
    assert error["request_id"] == answer.headers["X-Request-ID"]
    return answer.status_code, str(error["code"])


def raw(caller: Caller, more: bytes, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Sends these bytes as they are. Status, headers and content of the answer."""
    host, port = caller.url.removeprefix("http://").split(":")
    head = caller.call.encode() + b" HTTP/1.1\r\nHost: gateway\r\n"
    head += b"".join(f"{name}: {value}\r\n".encode() for name, value in caller.headers.items())
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head + more + b"\r\n" + body)
        answer = HTTPResponse(connection, method=caller.call.split()[0])
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
