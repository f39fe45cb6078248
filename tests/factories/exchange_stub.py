"""A tiny HTTP server on loopback that answers as Kraken, or the edge before it, does on a bad day."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEY = "stub-key"
SECRET = base64.b64encode(b"stub-secret-stub-secret-stub-sec").decode()


@dataclass(frozen=True)
class Received:
    """One request as it came over the socket."""

    method: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str]

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode() if self.method == "POST" else self.query))

    def is_signed_with(self, secret: str) -> bool:
        digest = hashlib.sha256(self.params["nonce"].encode() + self.body).digest()
        expected = hmac.digest(base64.b64decode(secret), self.path.encode() + digest, "sha512")
        return base64.b64encode(expected).decode() == self.headers["API-Sign"]


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    drops_connection: bool = False


def result(value: Any, *warnings: str) -> Reply:
    return Reply(body=json.dumps({"error": list(warnings), "result": value}).encode())


def errors(*messages: str) -> Reply:
    return Reply(body=json.dumps({"error": list(messages)}).encode())


BAD_GATEWAY = Reply(502, b"<html><head><title>502 Bad Gateway</title></head></html>", "text/html")
WEB_SERVER_DOWN = Reply(520, b"error code: 520", "text/plain")
NOT_JSON = Reply(200, b"<html>Checking your browser</html>", "text/html")
TRUNCATED = Reply(200, b'{"error":[],"result":{"txid":["OABC')
NOT_AN_ENVELOPE = Reply(200, b'["what"]')
REDIRECT = Reply(307, headers={"Location": "/0/private/AddOrder"})
DROPPED = Reply(drops_connection=True)
SILENT = Reply(wait_seconds=1.5, body=b'{"error":[],"result":{}}')


class ExchangeStub:
    """Replies by method name, in the order given; the last one is repeated."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self._replies: dict[str, deque[Reply]] = defaultdict(deque)
        self._lock = threading.Lock()
        self.url = ""

    def reply(self, method: str, *replies: Reply) -> None:
        self._replies[method] = deque(replies)

    def calls(self, method: str) -> list[Received]:
        return [request for request in self.received if request.path.endswith(f"/{method}")]

    def handle(self, request: Received) -> Reply:
        with self._lock:
            self.received.append(request)
            replies = self._replies[request.path.rsplit("/", 1)[-1]]
            if not replies:
                return errors("EGeneral:Unknown method")
            return replies.popleft() if len(replies) > 1 else replies[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stub: ExchangeStub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up waiting is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Received(self.command, parts.path, parts.query, body, dict(self.headers.items()))
        reply = self.server.stub.handle(request)
        time.sleep(reply.wait_seconds)
        if reply.drops_connection:
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.content_type, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = _answer  # noqa: N815
    do_POST = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def running_stub() -> Iterator[ExchangeStub]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.stub = stub = ExchangeStub()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
