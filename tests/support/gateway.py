"""The gateway's configuration in a real nginx, before services that say what they were asked."""

import json
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dev.base.profile import PORTS, Profile
from dev.base.secrets import WEB
from dev.config import gateway, tls
from tests.support.ports import free_ports


class Service(BaseHTTPRequestHandler):
    """Answers with its own name, the path, and the headers it was given."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append(f"{self.command} {self.path}")
        server.told = self.headers
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        if "/break" in self.path:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif self.path.startswith("/admin/authorize/") and server.authorizes != 204:
            self._refuse(server.authorizes)
        elif self.path == "/api/v1/bot/stream":
            self._stream()
        elif self.path == "/app/stream":
            self._hand_over()
        else:
            self._answer(server.name)

    do_POST = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: Any) -> None:
        """pytest's output is not the place."""

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, name: str) -> None:
        body = json.dumps(
            {"service": name, "path": self.path, "client_port": self.client_address[1], "headers": dict(self.headers)}
        )
        busy = "/busy" in self.path
        self.send_response(429 if busy else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-ID", "from-the-service")
        if busy:
            self.send_header("Retry-After", "77")
        self.end_headers()
        self.wfile.write(body.encode())

    def _hand_over(self) -> None:
        """As the console does it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", "0")
        self.send_header("X-Accel-Redirect", "/_stream/")
        self.send_header("X-Stream-Authorization", "Bearer handed-over")
        self.end_headers()

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        self.wfile.flush()
        server: Any = self.server
        server.may_end.wait(10)
        self.close_connection = True


@dataclass
class Gateway:
    profile: Profile
    services: dict[str, Any] = field(default_factory=dict)

    is_secured: bool = False

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[HTTPResponse, bytes]:
        connection = self.connection()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body or None, headers=named)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def connection(self) -> HTTPConnection:
        if not self.is_secured:
            return HTTPConnection("127.0.0.1", self.profile.ports["gateway"], timeout=10)
        certificate = tls.self_signed_files(self.profile).certificate
        trusting = ssl.create_default_context(cafile=str(certificate))
        return HTTPSConnection("127.0.0.1", self.profile.ports["gateway_tls"], timeout=10, context=trusting)

    def error(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[HTTPResponse, dict[str, Any]]:
        response, content = self.ask(method, path, body, **headers)
        assert response.getheader("Content-Type") == "application/json"
        error = json.loads(content)
        assert set(error) == {"error"}
        assert set(error["error"]) == {"code", "message", "details", "request_id"}
        assert error["error"]["request_id"] == response.getheader("X-Request-ID")
        return response, error["error"]


Start = Callable[..., Gateway]


class Gateways:
    """Starts nginx for a set of variables, with a service behind each upstream unless it is named as absent."""

    def __init__(self, home: Path) -> None:
        """`home` is for the profiles of the gateways."""
        self.home = home
        self._ended: list[Callable[[], object]] = []

    def start(self, name: str, environ: dict[str, str], absent: frozenset[str] = frozenset(), **given: int) -> Gateway:
        """`given` are ports of services that run already; those and the absent ones are not started."""
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True)) | given
        running = Gateway(Profile(name=name, ports=ports, home=self.home), is_secured=tls.is_on(environ))
        running.profile.create()
        for service in (*WEB, "stream", "flower"):
            if service not in absent | given.keys():
                running.services[service] = self.serve(service, ports[service])
        gateway.write(running.profile, environ)
        self.run(gateway.command(running.profile, "-g", "daemon off;"), gateway.folder(running.profile))
        wait_for(ports["gateway"])
        return running

    def serve(self, name: str, port: int, address: str = "127.0.0.1") -> Any:
        """A service at an address of its own."""
        server: Any = ThreadingHTTPServer((address, port), Service)
        server.name, server.asked, server.may_end, server.authorizes = name, [], threading.Event(), 204
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._ended.append(lambda: (server.may_end.set(), server.shutdown(), server.server_close()))
        return server

    def run(
        self, command: list[str], folder: Path, environ: dict[str, str] | None = None, *, output: Path | None = None
    ) -> None:
        """A process that ends with the others; `output` is a file for what it prints."""
        with output.open("wb") if output else nullcontext() as file:
            process = subprocess.Popen(command, cwd=folder, env=environ, stdout=file, stderr=file)
        self._ended.append(partial(_end, process))

    def end(self) -> None:
        for end in reversed(self._ended):
            end()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(port: int, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.02)
        else:
            return
