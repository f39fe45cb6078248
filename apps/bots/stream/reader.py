"""The one reader of all streams of this process: a thread that moves notes into the journal and shows what is new."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog
from django.db import connections
from django.utils import timezone

from apps.bots.stream import figures, journal
from apps.bots.stream.documents import Frame, event, frames_of
from apps.bots.stream.hub import Stream
from apps.bots.stream.journal import Entry
from apps.events.process.run_loop import DATABASE_ERRORS, DatabaseRetry

log = structlog.get_logger(__name__)

# A wake-up comes at once where Redis is up; otherwise notes wait for this long at most.
POLL_SECONDS = 0.1
FORGET_EVERY_SECONDS = 60.0
# A stream that missed more is told to load anew: that is less work for both sides.
MOST_MISSED = 2000


class Wakes(Protocol):
    def wait(self, seconds: float) -> None: ...


class Reader:
    """`deliver` and `admit` are called from the thread, and hand over to the event loop in the order of the calls."""

    def __init__(
        self,
        wakes: Wakes,
        *,
        deliver: Callable[[Sequence[Frame]], None],
        admit: Callable[[Stream, Sequence[bytes], int], None],
        clock: Callable[[], datetime] = timezone.now,
    ) -> None:
        self._wakes, self._deliver, self._admit, self._clock = wakes, deliver, admit, clock
        # Streams that came and went, from the event loop: appending and popping are atomic.
        self._changes: deque[tuple[bool, Stream]] = deque()
        self._admitted: dict[UUID, set[Stream]] = {}
        self._position: int | None = None
        self._forget_at = 0.0
        self._complete_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream-reader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def join(self, stream: Stream) -> None:
        self._changes.append((True, stream))

    def leave(self, stream: Stream) -> None:
        self._changes.append((False, stream))

    def _run(self) -> None:
        database = DatabaseRetry()
        while not self._stop.is_set():
            has_more = False
            try:
                has_more = self.step()
                database.worked()
            except DATABASE_ERRORS as error:
                self._stop.wait(database.failed(error))
            except Exception:
                log.exception("stream_reader_failed")
                self._stop.wait(1.0)
            figures.behind.set(time.monotonic() - self._complete_at)
            if not has_more:
                self._wakes.wait(POLL_SECONDS)
        connections.close_all()

    def step(self) -> bool:
        """One round. Returns whether there may be more at once. Raises DatabaseError."""
        moved = journal.move_notes() if journal.has_notes() else 0
        if self._position is None:
            self._position = journal.bounds().position
        entries = journal.entries_after(self._position)
        if entries:
            self._tell(entries)
            self._position = entries[-1].position
        self._admit_joined(self._position)
        if time.monotonic() >= self._forget_at:
            journal.forget_old()
            self._forget_at = time.monotonic() + FORGET_EVERY_SECONDS
        has_more = max(moved, len(entries)) >= journal.BATCH
        if not has_more:
            self._complete_at = time.monotonic()
        return has_more

    def _tell(self, entries: Sequence[Entry]) -> None:
        concerned = [entry for entry in entries if entry.user_id in self._admitted]
        if not concerned:
            return
        frames = self._shown(concerned)
        if frames is None:
            last = concerned[-1]
            users = {entry.user_id for entry in concerned}
            frames = [Frame(last.position, user, _reset(last.position), last.noted_at) for user in users]
        self._deliver(frames)

    def _admit_joined(self, position: int) -> None:
        """From here on each of them gets what is above the position, and before it what it missed."""
        changes = list(self._changes)
        if not changes:
            return
        left = {stream for has_joined, stream in changes if not has_joined}
        joined = [stream for has_joined, stream in changes if has_joined and stream not in left]
        missed = self._missed([stream for stream in joined if stream.opening.last_id is not None], position)
        for stream in joined:
            self._admitted.setdefault(stream.user_id, set()).add(stream)
            self._admit(stream, missed.get(stream) or [_ready(position)], position)
        for stream in left:
            streams = self._admitted.get(stream.user_id, set())
            streams.discard(stream)
            if not streams:
                self._admitted.pop(stream.user_id, None)
        # Only now: where PostgreSQL does not answer, they are admitted later.
        for _ in changes:
            self._changes.popleft()

    def _missed(self, resuming: Sequence[Stream], position: int) -> dict[Stream, list[bytes]]:
        """What each is told first: what it missed and that it is up to date, or that it has to load anew."""
        if not resuming:
            return {}
        oldest = max(min(stream.opening.last_id or 0 for stream in resuming), journal.bounds().floor)
        by_user: dict[UUID, list[Entry]] = defaultdict(list)
        for entry in journal.entries_of({stream.user_id for stream in resuming}, after=oldest, until=position):
            by_user[entry.user_id].append(entry)
        # After the read: whoever deletes entries raises the floor in the same transaction.
        floor = journal.bounds().floor
        told = {}
        for stream in resuming:
            last_id = stream.opening.last_id or 0
            own = [entry for entry in by_user[stream.user_id] if entry.position > last_id]
            can_resume = floor <= last_id <= position and len(own) <= MOST_MISSED
            frames = self._shown(own) if can_resume else None
            if frames is None:
                figures.resets.inc()
                told[stream] = [_reset(position)]
            else:
                told[stream] = [*(frame.data for frame in frames), _ready(position)]
        return told

    def _shown(self, entries: Sequence[Entry]) -> list[Frame] | None:
        """None where one of them cannot be shown: that must not silence the streams, so their clients load anew.

        Raises DatabaseError.
        """
        try:
            return frames_of(entries, now=self._clock())
        except DATABASE_ERRORS:
            raise
        except Exception:
            log.exception("stream_event_not_shown", first=entries[0].position, last=entries[-1].position)
            return None


def _ready(position: int) -> bytes:
    return event("ready", {}, position=position)


def _reset(position: int) -> bytes:
    return event("reset", {}, position=position)
