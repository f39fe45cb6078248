"""The way between the platform's processes and a server, which can be cut, closed, silenced and made slow."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

CHUNK = 64 * 1024


class Link:
    """A TCP port that leads to a server's port. Safe to use from any thread."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.connections_made = 0
        self._bytes_per_second: int | None = None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._may_pass = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"link-{target_port}", daemon=True)
        self._thread.start()
        self.heal()

    def cut(self) -> None:
        """Resets every connection; new ones are welcome."""
        self._call(self._cut())

    def refuse(self) -> None:
        """As with the server ended: connections are reset, new ones refused."""
        self._call(self._refuse())

    def silence(self) -> None:
        """As behind a firewall that drops everything: connections stay, or are made, and nothing gets through."""
        self._call(self._set(self._may_pass.clear))

    def slow(self, bytes_per_second: int) -> None:
        """Each direction of each connection carries so little."""
        self._bytes_per_second = bytes_per_second

    def heal(self) -> None:
        """All is as it should be; what was held up by silence arrives now."""
        self._call(self._heal())

    def close(self) -> None:
        self._call(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _set(self, change: Callable[[], None]) -> None:
        change()

    async def _heal(self) -> None:
        self._bytes_per_second = None
        self._may_pass.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=CHUNK)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()
        # What was held up by silence finds its connection gone.
        self._may_pass.set()
        await asyncio.sleep(0)

    async def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_made += 1
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._may_pass.wait()
            answers, there = await asyncio.open_connection("127.0.0.1", self.target_port, limit=CHUNK)
            self._open.add(there)
            await asyncio.gather(self._carry(reader, there), self._carry(answers, writer))
        except OSError:
            pass  # either side has gone: so goes the other
        finally:
            for each in (writer, there):
                if each is not None:
                    self._open.discard(each)
                    each.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while True:
            speed = self._bytes_per_second
            data = await source.read(CHUNK if speed is None else max(1, speed // 10))
            await self._may_pass.wait()
            if not data:
                raise ConnectionResetError
            if speed is not None:
                await asyncio.sleep(len(data) / speed)
            sink.write(data)
            await sink.drain()
