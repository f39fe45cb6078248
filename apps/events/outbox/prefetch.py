"""Fetches what is next in the outbox while the last of it is being sent: PostgreSQL works while a broker does."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from django.db import connection

from apps.events.process.run_loop import DATABASE_ERRORS

W = TypeVar("W")
R = TypeVar("R")


class Prefetcher(Generic[W, R]):
    """One thread with a connection of its own to PostgreSQL; made when it is first needed. `fetch` runs in it."""

    def __init__(self, fetch: Callable[[W], R], *, name: str) -> None:
        self._fetch = fetch
        self._name = name
        self._thread: ThreadPoolExecutor | None = None
        self._coming: tuple[W, Future[R]] | None = None

    def start(self, wanted: W) -> None:
        """Begins to fetch. The answer to an earlier start is forgotten."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        self._coming = wanted, self._thread.submit(self._run, wanted)

    def take(self, is_still_wanted: Callable[[W], bool]) -> R | None:
        """What was fetched ahead, where it is still what is wanted; else None, and the caller fetches it.

        None too where the thread's connection was lost, perhaps long ago: the caller's own may well be there.
        """
        coming = self._coming
        self.forget()
        if coming is None or not is_still_wanted(coming[0]):
            return None
        try:
            return coming[1].result()
        except DATABASE_ERRORS:
            return None

    def forget(self) -> None:
        """What was fetched must not be sent: something before it was not."""
        self._coming = None

    def close(self) -> None:
        self.forget()
        if self._thread is not None:
            # In the thread: its connection, not the caller's.
            self._thread.submit(connection.close)
            self._thread.shutdown()
            self._thread = None

    def _run(self, wanted: W) -> R:
        try:
            return self._fetch(wanted)
        except DATABASE_ERRORS:
            connection.close()
            raise
