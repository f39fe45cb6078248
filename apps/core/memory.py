"""What this process has found out and does not ask for again for a while."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memory(Generic[Key]):
    """Values by key, with the time at which each was put. Threads share it. The entry used longest ago is dropped.

    `dropped` is called with its key, while the memory is locked.
    """

    def __init__(self, entries: int, dropped: Callable[[Key], object] | None = None) -> None:
        self._most, self._dropped = entries, dropped
        self._entries: OrderedDict[Key, tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, *, seconds: float) -> Any:
        """None where nothing is kept, or only what was put longer ago."""
        with self._lock:
            put_at, value = self._entries.get(key, (0.0, None))
            if value is None or time.monotonic() - put_at >= seconds:
                return None
            self._entries.move_to_end(key)
            return value

    def put(self, key: Key, value: Any) -> None:
        with self._lock:
            self._entries[key] = (time.monotonic(), value)
            self._entries.move_to_end(key)
            while len(self._entries) > self._most:
                key, _ = self._entries.popitem(last=False)
                if self._dropped is not None:
                    self._dropped(key)

    def remembered(self, key: Key, read: Callable[[], Value], *, seconds: float) -> Value:
        """The value if it was put within `seconds`, else the one that `read` returns. None is not kept."""
        known: Value | None = self.get(key, seconds=seconds)
        if known is not None:
            return known
        value = read()
        if value is not None:
            self.put(key, value)
        return value

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
