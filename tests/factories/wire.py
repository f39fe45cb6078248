"""A wire to an HTTP server that a test can disturb.

It is cut at a chosen request, before that arrives or before its answer returns, or it answers in the server's place.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen


class Wire:
    """Forwards everything to `target`, except what `hold`, `garble`, `answer` and `first` say."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.held = threading.Event()
        self.paths: list[str] = []
        self._hold: tuple[str, bool] | None = None
        self._garble: str | None = None
        self._answers: dict[str, bytes] = {}
        self._first: dict[str, Callable[[], None]] = {}
        self._let_go = threading.Event()
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                wire._pass_on(self, b"")

            def do_POST(self) -> None:
                wire._pass_on(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def hold(self, method: str, *, arrives: bool) -> None:
        """The next call of the method gets no answer; `arrives` says whether the server sees it. Sets `held` then."""
        self._hold = (method, arrives)

    def garble(self, method: str) -> None:
        """The next call of the method arrives, and its answer is a gateway's error page."""
        self._garble = method

    def answer(self, method: str, body: bytes) -> None:
        """All calls of the method get this JSON and do not arrive, until `answer_truly`."""
        self._answers[method] = body

    def answer_truly(self) -> None:
        self._answers.clear()

    def first(self, method: str, act: Callable[[], None]) -> None:
        """Before the next call of the method arrives, this happens."""
        self._first[method] = act

    def let_go(self) -> None:
        """Breaks off the calls that are held."""
        self._let_go.set()

    def calls(self, method: str) -> int:
        return sum(path.endswith(f"/{method}") for path in self.paths)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.let_go()
        self._server.shutdown()
        self._server.server_close()

    def _pass_on(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.paths.append(handler.path)
        method = handler.path.partition("?")[0].rpartition("/")[2]
        if self._hold and self._hold[0] == method:
            arrives, self._hold = self._hold[1], None
            if arrives:
                self._forward(handler, body)
            self.held.set()
            self._let_go.wait(30)
            handler.close_connection = True
            return
        if act := self._first.pop(method, None):
            act()
        if method in self._answers:
            status, content_type, answer = 200, "application/json", self._answers[method]
        else:
            status, content_type, answer = self._forward(handler, body)
        if self._garble == method:
            self._garble = None
            status, content_type, answer = 502, "text/html", b"<html>502 Bad Gateway</html>"
        with suppress(BrokenPipeError, ConnectionResetError):
            handler.send_response(status)
            handler.send_header("Content-Type", content_type)
            handler.send_header("Content-Length", str(len(answer)))
            handler.end_headers()
            handler.wfile.write(answer)

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, bytes]:
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in _HOP_BY_HOP}
        data = body if handler.command == "POST" else None
        request = Request(self.target + handler.path, data=data, headers=headers, method=handler.command)
        try:
            with urlopen(request, timeout=20) as response:
                return response.status, response.headers["Content-Type"], response.read()
        except HTTPError as error:
            return error.code, error.headers["Content-Type"] or "text/plain", error.read()


_HOP_BY_HOP = frozenset({"host", "connection", "accept-encoding", "content-length"})
