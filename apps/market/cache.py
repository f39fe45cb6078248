"""What an exchange said a moment ago: asked once for many readers, and kept for when it does not answer.

In Redis for all processes, and in each process for when Redis is away.
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
# An exchange that did not answer is left alone for this long: readers get what is kept at once.
PAUSE_SECONDS = 2
# At most this long one reader asks while the others take what is kept.
ASKING_SECONDS = 5

# No answer, or no time for us. Everything else is an answer.
SILENCE = (ExchangeUnavailable, ExchangeRateLimited)

_process = LocMemCache("market", {"OPTIONS": {"MAX_ENTRIES": 500}})


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[Value]):
    """`as_of` is when the exchange said it; stale, where it was asked again since and did not answer."""

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
    """One kind of data: its name, its type, and how long it counts as now."""

    name: str
    adapter: TypeAdapter[Value]
    fresh: timedelta

    def get(self, mode: Mode, key: str, ask: Callable[[], Value], *, now: datetime) -> Snapshot[Value]:
        """What is kept if it is fresh, else what the exchange says now, else what is kept, said to be stale.

        Raises MarketDataUnavailable where there is neither, and what `ask` raises besides.
        """
        place = f"market:{mode}:{self.name}:{key}"
        kept = self._read(place)
        if kept is not None and now - kept.as_of < self.fresh:
            return kept
        if is_silent(mode):
            return _stale(kept)
        # None, not False, where Redis is away: then every process asks for itself.
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
        """What is kept, whatever its age."""
        return self._read(f"market:{mode}:{self.name}:{key}")

    def _read(self, place: str) -> Snapshot[Value] | None:
        text = cache.get(place) or _process.get(place)
        if not isinstance(text, str):
            return None
        try:
            entry = _ENTRY.validate_json(text)
            return Snapshot(self.adapter.validate_json(entry.value), entry.as_of)
        except ValidationError:  # written by another version of this program
            return None

    def _write(self, place: str, value: Value, now: datetime) -> None:
        text = _ENTRY.dump_json(_Entry(now, self.adapter.dump_json(value).decode())).decode()
        cache.set(place, text, timeout=KEPT.total_seconds())
        _process.set(place, text, timeout=KEPT.total_seconds())


def is_silent(mode: Mode) -> bool:
    """Whether the exchange just failed to answer."""
    return bool(cache.get(_silent(mode)) or _process.get(_silent(mode)))


def note_silence(mode: Mode) -> None:
    cache.set(_silent(mode), 1, timeout=PAUSE_SECONDS)
    _process.set(_silent(mode), 1, timeout=PAUSE_SECONDS)


def forget_all() -> None:
    """Empties what this process keeps."""
    _process.clear()


def _silent(mode: Mode) -> str:
    return f"market:{mode}:silent"


def _stale(kept: Snapshot[Value] | None, silence: Exception | None = None) -> Snapshot[Value]:
    if kept is None:
        raise MarketDataUnavailable("The exchange does not answer, and nothing it said before is kept.") from silence
    return Snapshot(kept.value, kept.as_of, is_stale=True)
