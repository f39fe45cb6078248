"""The ASGI application of the stream process.

A request is answered by Django in a thread of a small pool, as it is under WSGI: identity, permissions, quotas, errors
and the log are those of every call. What a view opens as a stream goes on here, on the event loop: an open stream has
no thread. Django's own ASGI handler would keep one for each.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import structlog
from django.conf import settings
from django.core import signals
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.base import BaseHandler
from django.http import HttpResponseBase
from django.urls import set_script_prefix
from django.utils.http import parse_header_parameters

from apps.bots.stream.documents import event
from apps.bots.stream.hub import Ending, Hub, Stream
from apps.bots.stream.reader import Reader
from apps.bots.stream_opening import MEDIA_TYPE, Opening
from apps.events.store.wake_up import STREAM, WakeUpListener

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEARTBEAT_SECONDS = 15.0
# A session that ended ends its streams within this time, and what a process may be late to learn of it.
CHECK_SECONDS = 15.0
TICK_SECONDS = 1.0
LAST_WORD_SECONDS = 0.5
RECONNECT_MS = 1000
LARGEST_BODY = 256 * 1024
# What the view finds on a request that may become a stream, and leaves on its answer
ROOM = "check_stream_room"
OPENING = "stream_opening"

# Comments for clients that only read; the event for pages, whose EventSource hides comments.
_HEARTBEAT = b": heartbeat\n" + event("ping", {})


class Request(ASGIRequest):
    """Django's, but that the charset of the body's type decodes nothing (service_common.wsgi)."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


class Application:
    """One for each process. Its threads and its reader start with the server (the lifespan protocol)."""

    def __init__(self, *, threads: int) -> None:
        self._handler = BaseHandler()
        self._handler.load_middleware()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="request")
        env = settings.ENVIRONMENT
        self._wakes = WakeUpListener(STREAM)
        self._reader = Reader(self._wakes, deliver=self._deliver, admit=self._admit)
        self.hub = Hub(
            per_user=env.streams_per_user, in_all=env.streams, joined=self._reader.join, left=self._reader.leave
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._loop = asyncio.get_running_loop()
                self._close_on_signals(self._loop)
                self._tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._check_access())]
                self._reader.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                for task in self._tasks:
                    task.cancel()
                await asyncio.to_thread(self._reader.stop)
                self._wakes.close()
                self._pool.shutdown(wait=False, cancel_futures=True)
                await send({"type": "lifespan.shutdown.complete"})
                return

    def _close_on_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """The server waits for open answers before it says that it ends, and streams would keep it waiting."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            before: Any = signal.getsignal(number)

            def handle(number: int, frame: Any, before: Any = before) -> None:
                loop.call_soon_threadsafe(self.hub.close)
                if callable(before):
                    before(number, frame)

            signal.signal(number, handle)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(self._pool, self._respond, scope, body)
        opening: Opening | None = getattr(response, OPENING, None)
        if opening is not None:
            await self._stream(opening, response, receive, send)
            return
        await send({"type": "http.response.start", "status": response.status_code, "headers": _headers(response)})
        content = b"".join(response) if response.streaming else response.content  # type: ignore[attr-defined]
        await send({"type": "http.response.body", "body": content})
        await loop.run_in_executor(self._pool, response.close)

    def _respond(self, scope: Scope, body: bytes | None) -> HttpResponseBase:
        set_script_prefix("")
        signals.request_started.send(sender=type(self), scope=scope)
        # One that is too long is refused by its length (StrictJSONParser), which need not be read.
        request = Request(scope, BytesIO(body or b""))
        setattr(request, ROOM, self.hub.check_room)
        try:
            return self._handler.get_response(request)
        finally:
            signals.request_finished.send(sender=type(self))

    async def _stream(self, opening: Opening, response: HttpResponseBase, receive: Receive, send: Send) -> None:
        stream = Stream(opening)
        # Django's middleware measures the empty body, and REST framework takes its type away.
        kept = [(name, value) for name, value in _headers(response) if name not in (b"content-length", b"content-type")]
        headers = [*kept, (b"content-type", MEDIA_TYPE.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(_chunk(f"retry: {RECONNECT_MS}\n\n".encode()))
        self.hub.add(stream)
        gone = asyncio.ensure_future(_gone(receive))
        writing = asyncio.ensure_future(_write(stream, send))
        try:
            try:
                await asyncio.wait({gone, writing}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:  # by the server, which is being shut down
                stream.end(Ending.SHUTDOWN)
                await asyncio.wait({writing}, timeout=LAST_WORD_SECONDS)
            # A writer that has ended by itself has said so to the client.
            if stream.ending is Ending.SLOW:
                _abort(send)
                await gone
        finally:
            self.hub.remove(stream)
            for task in (gone, writing):
                task.cancel()

    def _deliver(self, frames: Any) -> None:
        self._on_loop(self.hub.deliver, frames)

    def _admit(self, stream: Stream, data: Any, after: int) -> None:
        self._on_loop(self.hub.admit, stream, data, after)

    def _on_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        # A loop that has closed has no streams any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.hub.tick(_HEARTBEAT, after_seconds=HEARTBEAT_SECONDS)

    async def _check_access(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            streams = self.hub.streams()
            loop = asyncio.get_running_loop()
            for stream in await loop.run_in_executor(self._pool, _without_access, streams):
                stream.end(Ending.ACCESS)


def _without_access(streams: list[Stream]) -> list[Stream]:
    try:
        return [stream for stream in streams if not stream.opening.may_go_on()]
    except Exception:
        log.exception("stream_access_not_checked")
        return streams
    finally:
        signals.request_finished.send(sender=Application)


async def _write(stream: Stream, send: Send) -> None:
    while True:
        data = await stream.queue.get()
        if stream.ending is Ending.SLOW:
            return
        if data is None:
            await send({"type": "http.response.body", "body": b""})
            return
        await send(_chunk(data))


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _abort(send: Send) -> None:
    """Closes the connection without waiting for what its client does not read. uvicorn has no call for it."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()


def _chunk(data: bytes) -> MutableMapping[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


def _headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    return list(_header_pairs(response))


def _header_pairs(response: HttpResponseBase) -> Iterator[tuple[bytes, bytes]]:
    for name, value in response.items():
        yield name.lower().encode("ascii"), value.encode("latin-1")
    for cookie in response.cookies.values():
        yield b"set-cookie", cookie.output(header="").strip().encode("ascii")


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None for one that is too long."""
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        part = message.get("body", b"")
        length += len(part)
        if length <= LARGEST_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts) if length <= LARGEST_BODY else None
