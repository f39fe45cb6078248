"""Cache of market data: one request to the exchange serves many readers, and stale data serves during an outage.

Entries are in Redis, shared by all processes, and in process memory, for the time when Redis is down.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from apps.core.terms import Mode
from apps.exchange.errors import ExchangeRateLimited, ExchangeUnavailable
from apps.market.errors import MarketDataUnavailable

Value = TypeVar("Value")

KEPT = timedelta(hours=1)
# After a failed request the exchange is not called for this long: readers get cached data immediately.
PAUSE_SECONDS = 2
# Expiry of the lock of the reader that calls the exchange. Other readers get cached data meanwhile.
ASKING_SECONDS = 5

# No response, or rate limited. Any other error is a response.
SILENCE = (ExchangeUnavailable, ExchangeRateLimited)

_process = LocMemCache("market", {"OPTIONS": {"MAX_ENTRIES": 500}})


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[Value]):
    """A value with its age. `as_of` is the time of the response; `is_stale` if a later request failed."""

    value: Value
    as_of: datetime
    is_stale: bool = False


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

    def get(self, mode: Mode, key: str, ask: Callable[[], Value], *, now: datetime) -> Snapshot[Value]:
        """The cached value if fresh, else the result of `ask`, else the cached value marked as stale.

        Raises MarketDataUnavailable if there is neither, and every other error of `ask`.
        """
        place = f"market:{mode}:{self.name}:{key}"
        kept = self._read(place)
        if kept is not None and now - kept.as_of < self.fresh:
            return kept
        if is_silent(mode):
            return _stale(kept)
        # `add` returns None, not False, when Redis is down: each process then calls the exchange.
        if kept is not None and cache.add(f"{place}:asking", 1, timeout=ASKING_SECONDS) is False:
            return kept
        try:
            value = ask()
        except SILENCE as silence:
            note_silence(mode)
            return _stale(kept, silence)
        finally:
            cache.delete(f"{place}:asking")
        self._write(place, value, now)
        return Snapshot(value, now)

    def last(self, mode: Mode, key: str) -> Snapshot[Value] | None:
        """The cached value, whatever its age."""
        return self._read(f"market:{mode}:{self.name}:{key}")

    def _read(self, place: str) -> Snapshot[Value] | None:
        text = cache.get(place) or _process.get(place)
        if not isinstance(text, str):
            return None
        try:
            entry = _ENTRY.validate_json(text)
            return Snapshot(self.adapter.validate_json(entry.value), entry.as_of)
        except ValidationError:  # written by another release
            return None

    def _write(self, place: str, value: Value, now: datetime) -> None:
        text = _ENTRY.dump_json(_Entry(now, self.adapter.dump_json(value).decode())).decode()
        cache.set(place, text, timeout=KEPT.total_seconds())
        _process.set(place, text, timeout=KEPT.total_seconds())


def is_silent(mode: Mode) -> bool:
    """Whether a request to the exchange failed within PAUSE_SECONDS."""
    return bool(cache.get(_silent(mode)) or _process.get(_silent(mode)))


def note_silence(mode: Mode) -> None:
    cache.set(_silent(mode), 1, timeout=PAUSE_SECONDS)
    _process.set(_silent(mode), 1, timeout=PAUSE_SECONDS)


def forget_all() -> None:
    """Clears the cache of this process."""
    _process.clear()


def _silent(mode: Mode) -> str:
    return f"market:{mode}:silent"


def _stale(kept: Snapshot[Value] | None, silence: Exception | None = None) -> Snapshot[Value]:
    if kept is None:
        raise MarketDataUnavailable("The exchange does not answer, and nothing it said before is kept.") from silence
    return Snapshot(kept.value, kept.as_of, is_stale=True)
