"""Cache of market data: one request to the exchange serves many readers, and stale data serves during an outage.

Entries are in Redis, shared by all processes, and in process memory, which also serves while Redis is down. One reader
of all processes asks the exchange for an entry at a time; with Redis down, one of each process.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from django.core.cache import cache
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from apps.core.memory import Memory
from apps.core.terms import Mode
from apps.exchange.errors import ExchangeRateLimited, ExchangeUnavailable
from apps.market.errors import MarketDataUnavailable

Value = TypeVar("Value")

KEPT = timedelta(hours=1)
# After a failed request the exchange is not called for this long: readers get cached data immediately.
PAUSE_SECONDS = 2
# Expiry of the lock of the reader that calls the exchange. Other readers get cached data meanwhile, or wait that long.
ASKING_SECONDS = 5
LOOK_EVERY_SECONDS = 0.02
# How far the time of a value may be ahead of this machine's: another one may have read it. Beyond it the clock was set
# back.
AHEAD_AT_MOST = timedelta(seconds=2)
# Entries in process memory. One with 720 candles takes about 1 MB.
ENTRIES_IN_MEMORY = 200
SMALL_ENTRIES_IN_MEMORY = 10_000

# No response, or rate limited. Any other error is a response.
SILENCE = (ExchangeUnavailable, ExchangeRateLimited)


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[Value]):
    """A value with its age. `as_of` is when the exchange was asked; `is_stale` if a later request failed."""

    value: Value
    as_of: datetime
    is_stale: bool = False


class _Readers:
    """The locks of this process's readers, and which exchanges do not answer it."""

    def __init__(self) -> None:
        self._asking: dict[str, threading.Lock] = {}
        self._silent_until: dict[Mode, float] = {}
        self._lock = threading.Lock()

    def asking(self, place: str) -> threading.Lock:
        with self._lock:
            return self._asking.setdefault(place, threading.Lock())

    def forget(self, place: str) -> None:
        with self._lock:
            self._asking.pop(place, None)

    def is_silent(self, mode: Mode) -> bool:
        return self._silent_until.get(mode, 0.0) > time.monotonic()

    def note_silence(self, mode: Mode, seconds: float) -> None:
        self._silent_until[mode] = time.monotonic() + seconds

    def clear_silence(self) -> None:
        self._silent_until.clear()


_readers = _Readers()
# Entries of Redis that this process has parsed
_memory: Memory[str] = Memory(ENTRIES_IN_MEMORY, dropped=_readers.forget)
# What selectors made of them, and rows of the database
_small: Memory[str] = Memory(SMALL_ENTRIES_IN_MEMORY)


@checked(frozen=True)
class _Entry:
    as_of: datetime
    value: str


_ENTRY = TypeAdapter(_Entry)


@dataclass(frozen=True, slots=True)
class Shelf(Generic[Value]):
    """Cache of one kind of data: its name, its type, and how long an entry is fresh."""

    name: str
    adapter: TypeAdapter[Value]
    fresh: timedelta

    def get(
        self, mode: Mode, key: str, ask: Callable[[], Value], *, now: datetime, not_before: datetime | None = None
    ) -> Snapshot[Value]:
        """The cached value if fresh, else the result of `ask`, else the cached value marked as stale.

        With `not_before` a value is fresh if the exchange was asked for it then or later, and an older one is never
        returned: a reader waits for the one that is asking, up to ASKING_SECONDS. Raises MarketDataUnavailable if there
        is no such value, and every other error of `ask`.
        """
        place = f"market:{mode}:{self.name}:{key}"
        kept = self._fresh(place, now, not_before)
        if kept is not None:
            return kept
        kept = self._read(place)
        if is_silent(mode):
            return _stale(kept, not_before)
        must_wait = kept is None or not_before is not None
        with _turn(place, wait=must_wait) as is_ours:
            if not is_ours and kept is not None and not must_wait:
                return kept
            if (asked_meanwhile := self._fresh(place, now, not_before)) is not None:
                return asked_meanwhile
            # `add` returns None, not False, when Redis is down: each process then calls the exchange.
            if not is_ours or cache.add(f"{place}:asking", 1, timeout=ASKING_SECONDS) is False:
                return kept if kept is not None and not must_wait else self._awaited(place, mode, now, not_before)
            return self._asked(place, mode, ask, now=now, not_before=not_before)

    def last(self, mode: Mode, key: str) -> Snapshot[Value] | None:
        """The cached value, whatever its age."""
        return self._read(f"market:{mode}:{self.name}:{key}")

    def _asked(
        self, place: str, mode: Mode, ask: Callable[[], Value], *, now: datetime, not_before: datetime | None
    ) -> Snapshot[Value]:
        try:
            value = ask()
            snapshot = Snapshot(value, now)
            self._write(place, snapshot)
            return snapshot
        except SILENCE as silence:
            note_silence(mode, silence)
            return _stale(self._read(place), not_before, silence)
        finally:
            cache.delete(f"{place}:asking")

    def _awaited(self, place: str, mode: Mode, now: datetime, not_before: datetime | None) -> Snapshot[Value]:
        """The value that another reader is asking for."""
        give_up_at = time.monotonic() + ASKING_SECONDS
        while time.monotonic() < give_up_at and not is_silent(mode):
            time.sleep(LOOK_EVERY_SECONDS)
            if (kept := self._fresh(place, now, not_before)) is not None:
                return kept
        return _stale(self._read(place), not_before)

    def _fresh(self, place: str, now: datetime, not_before: datetime | None) -> Snapshot[Value] | None:
        # From memory first: a value in Redis is read and parsed only where it may be newer.
        known: Snapshot[Value] | None = _memory.get(place, seconds=KEPT.total_seconds())
        if known is None or not self._is_fresh(known, now, not_before):
            known = self._read(place)
        return known if known is not None and self._is_fresh(known, now, not_before) else None

    def _is_fresh(self, snapshot: Snapshot[Value], now: datetime, not_before: datetime | None) -> bool:
        if snapshot.as_of > now + AHEAD_AT_MOST:  # the clock was set back since
            return False
        return now - snapshot.as_of < self.fresh if not_before is None else snapshot.as_of >= not_before

    def _read(self, place: str) -> Snapshot[Value] | None:
        """The newer one of the values in Redis and in memory."""
        known: Snapshot[Value] | None = _memory.get(place, seconds=KEPT.total_seconds())
        text = cache.get(place)
        if not isinstance(text, str):
            return known
        try:
            entry = _ENTRY.validate_json(text)
            if known is not None and entry.as_of <= known.as_of:
                return known
            snapshot = Snapshot(self.adapter.validate_json(entry.value), entry.as_of)
        except ValidationError:  # written by another release
            return known
        _memory.put(place, snapshot)
        return snapshot

    def _write(self, place: str, snapshot: Snapshot[Value]) -> None:
        _memory.put(place, snapshot)
        text = _ENTRY.dump_json(_Entry(snapshot.as_of, self.adapter.dump_json(snapshot.value).decode())).decode()
        cache.set(place, text, timeout=KEPT.total_seconds())


@contextmanager
def _turn(place: str, *, wait: bool) -> Iterator[bool]:
    """One reader of this process at a time; others `wait` up to ASKING_SECONDS. False for one without a turn."""
    lock = _readers.asking(place)
    is_ours = lock.acquire(timeout=ASKING_SECONDS if wait else 0)
    try:
        yield is_ours
    finally:
        if is_ours:
            lock.release()


def in_memory(place: str, read: Callable[[], Value], *, seconds: float) -> Value:
    """The value of this process if it was read within `seconds`, else the one that `read` returns. None is not kept."""
    return _small.remembered(place, read, seconds=seconds)


def remember(place: str, value: object) -> None:
    """Keeps a value as `in_memory` does."""
    _small.put(place, value)


def is_in_memory(place: str, *, seconds: float) -> bool:
    return _small.get(place, seconds=seconds) is not None


def is_silent(mode: Mode) -> bool:
    """Whether a request to the exchange failed a moment ago, or the exchange asked for a pause that lasts."""
    return _readers.is_silent(mode) or bool(cache.get(_silent(mode)))


def note_silence(mode: Mode, silence: Exception | None = None) -> None:
    """No process calls the exchange for PAUSE_SECONDS, or for as long as it asked for."""
    seconds = PAUSE_SECONDS
    if isinstance(silence, ExchangeRateLimited):
        seconds = max(seconds, silence.retry_after_seconds)
    _readers.note_silence(mode, seconds)
    cache.set(_silent(mode), 1, timeout=seconds)


def forget_all() -> None:
    """Clears the cache of this process."""
    _memory.clear()
    _small.clear()
    _readers.clear_silence()


def _silent(mode: Mode) -> str:
    return f"market:{mode}:silent"


def _stale(
    kept: Snapshot[Value] | None, not_before: datetime | None, silence: Exception | None = None
) -> Snapshot[Value]:
    if kept is None:
        raise MarketDataUnavailable("The exchange does not answer, and nothing it said before is kept.") from silence
    if not_before is not None and kept.as_of < not_before:
        raise MarketDataUnavailable(
            "The exchange does not answer, and what it said before is too old.", as_of=kept.as_of.isoformat()
        ) from silence
    return Snapshot(kept.value, kept.as_of, is_stale=True)
