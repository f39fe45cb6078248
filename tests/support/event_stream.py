"""A client of server-sent events as it stands in docs/api.md, and the stream process's application in this process."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

import uvicorn

from tests.support.ports import free_port
from tests.support.waiting import eventually

PATH = "/api/v1/bot/stream"


@dataclass(frozen=True)
class Event:
    name: str
    data: Any
    id: str | None


class Client:
    """Reads in a thread. `events` has all that came; `last_id` is what a browser would send when it comes again."""

    def __init__(self, port: int, token: str, *, last_id: str | None = None, path: str = PATH, **headers: str) -> None:
        sent = {"Accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if last_id is not None:
            sent["Last-Event-ID"] = last_id
        self.connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self.connection.request("GET", path, headers=sent)
        self.response: HTTPResponse = self.connection.getresponse()
        self.events: list[Event] = []
        self.comments: list[str] = []
        self.last_id = last_id
        self.has_ended = threading.Event()
        if self.response.status == 200:
            threading.Thread(target=self._read, daemon=True).start()

    def error(self) -> dict[str, Any]:
        body = json.loads(self.response.read())
        self.connection.close()
        error: dict[str, Any] = body["error"]
        return error

    def of(self, name: str) -> list[Any]:
        return [event.data for event in list(self.events) if event.name == name]

    def wait_for(self, name: str, count: int = 1, *, seconds: float = 20) -> list[Any]:
        what = f"{count} events {name!r}"
        eventually(lambda: len(self.of(name)) >= count or self.has_ended.is_set(), seconds=seconds, what=what)
        found = self.of(name)
        assert len(found) >= count, f"the stream ended after {[event.name for event in self.events]}"
        return found

    def close(self) -> None:
        if self.connection.sock is not None:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.response.close()
        self.connection.close()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            for raw in self.response:
                line = raw.decode().rstrip("\n")
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                else:
                    self._take(fields)
                    fields = {}
        except (OSError, ValueError, AttributeError, HTTPException):
            pass  # closed here, or cut off there
        self.has_ended.set()

    def _take(self, fields: dict[str, str]) -> None:
        if "data" in fields:
            self.last_id = fields.get("id", self.last_id)
            self.events.append(Event(fields["event"], json.loads(fields["data"]), fields.get("id")))


@contextmanager
def serving(application: Any) -> Iterator[int]:
    """uvicorn with the application, in a thread of this process. Yields the port."""
    port = free_port()
    config = uvicorn.Config(
        application,
        port=port,
        log_config=None,
        loop="asyncio",
        http="h11",
        lifespan="on",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    eventually(lambda: server.started or not thread.is_alive(), what="uvicorn")
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(timeout=15)
        assert not thread.is_alive(), "uvicorn does not end"
