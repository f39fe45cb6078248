"""The open streams of this process, on the event loop. Each has a bounded queue: one that does not read is dropped."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from apps.bots.errors import TooManyStreams
from apps.bots.stream import figures
from apps.bots.stream.documents import Frame
from apps.bots.stream_opening import Opening
from apps.core.errors import DependencyUnavailable

# Events that may wait for one stream. With what the socket holds this is minutes of a busy user's events.
QUEUE_FRAMES = 256


class Ending(StrEnum):
    """Why the server ended a stream."""

    SLOW = "slow"  # its client does not read
    ACCESS = "access"  # its session ended, or its key was revoked
    TOKEN = "token"  # noqa: S105  (its token has expired; the client comes again with another)
    SHUTDOWN = "shutdown"


@dataclass(eq=False)
class Stream:
    """One open connection. It gets events above the position `after`: none until the reader has admitted it."""

    opening: Opening
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_FRAMES))
    after: int | None = None
    ending: Ending | None = None
    silent_since: float = field(default_factory=time.monotonic)

    @property
    def user_id(self) -> UUID:
        return self.opening.user_id

    def put(self, data: bytes) -> None:
        if self.ending is not None:
            return
        try:
            self.queue.put_nowait(data)
            self.silent_since = time.monotonic()
        except asyncio.QueueFull:
            self.end(Ending.SLOW)

    def end(self, ending: Ending) -> None:
        """Wakes its connection, which closes. What waits for a client that does not read is dropped."""
        if self.ending is not None:
            return
        self.ending = ending
        figures.ended.labels(ending.value).inc()
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Hub:
    """Every method runs on the event loop. `joined` and `left` tell the reader's thread."""

    def __init__(
        self,
        *,
        per_user: int,
        in_all: int,
        joined: Callable[[Stream], None],
        left: Callable[[Stream], None],
    ) -> None:
        self._per_user, self._in_all = per_user, in_all
        self._joined, self._left = joined, left
        self._streams: dict[UUID, set[Stream]] = defaultdict(set)
        self._count = 0
        self._is_closing = False

    def check_room(self, user_id: UUID) -> None:
        """Raises TooManyStreams, DependencyUnavailable. Another thread may ask: the limits are not exact."""
        if self._is_closing or self._count >= self._in_all:
            raise DependencyUnavailable("This server has no room for another stream. Try again.")
        if len(self._streams.get(user_id, ())) >= self._per_user:
            raise TooManyStreams(
                f"You have {self._per_user} open streams, which is as many as a user may have. Close one.",
                retry_after_seconds=10,
                limit=self._per_user,
            )

    def add(self, stream: Stream) -> None:
        self._streams[stream.user_id].add(stream)
        self._count += 1
        figures.open_streams.set(self._count)
        self._joined(stream)
        if self._is_closing:
            stream.end(Ending.SHUTDOWN)

    def remove(self, stream: Stream) -> None:
        streams = self._streams[stream.user_id]
        streams.discard(stream)
        if not streams:
            del self._streams[stream.user_id]
        self._count -= 1
        figures.open_streams.set(self._count)
        self._left(stream)

    def admit(self, stream: Stream, data: Iterable[bytes], after: int) -> None:
        """What it missed, after which it gets what is above this position."""
        for each in data:
            stream.put(each)
        stream.after = after

    def deliver(self, frames: Iterable[Frame]) -> None:
        sent, now = 0, time.time()
        for frame in frames:
            for stream in self._streams.get(frame.user_id, ()):
                if stream.after is not None and frame.position > stream.after:
                    stream.put(frame.data)
                    sent += 1
            figures.delay.observe(max(0.0, now - frame.noted_at.timestamp()))
        figures.sent.inc(sent)

    def streams(self) -> list[Stream]:
        return [stream for streams in self._streams.values() for stream in streams]

    def tick(self, heartbeat: bytes, *, after_seconds: float) -> None:
        """A heartbeat to each stream that said nothing for so long, and the end of those whose token ended."""
        now, wall = time.monotonic(), time.time()
        for stream in self.streams():
            if wall >= stream.opening.ends_at:
                stream.end(Ending.TOKEN)
            elif now - stream.silent_since >= after_seconds:
                stream.put(heartbeat)

    def close(self) -> None:
        self._is_closing = True
        for stream in self.streams():
            stream.end(Ending.SHUTDOWN)
