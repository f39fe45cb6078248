"""Prefetch: the next rows are read from PostgreSQL while the broker works on the current batch."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from django.db import connection

from apps.events.process.run_loop import DATABASE_ERRORS

S = TypeVar("S")
R = TypeVar("R")


class Prefetcher(Generic[S, R]):
    """Runs `fetch` in one thread with its own connection to PostgreSQL. The thread is started when first needed."""

    def __init__(self, fetch: Callable[[S], R], *, name: str) -> None:
        self._fetch = fetch
        self._name = name
        self._thread: ThreadPoolExecutor | None = None
        self._pending: tuple[S, Future[R]] | None = None

    def start(self, spec: S) -> None:
        """Starts a fetch. The result of an earlier one is dropped."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        self._pending = spec, self._thread.submit(self._run, spec)

    def take(self, is_valid: Callable[[S], bool]) -> R | None:
        """The prefetched result if its spec is still valid; otherwise None, and the caller fetches by itself.

        Also None if the thread lost its connection, possibly long ago: the caller's own connection may work.
        """
        pending = self._pending
        self.forget()
        if pending is None or not is_valid(pending[0]):
            return None
        try:
            return pending[1].result()
        except DATABASE_ERRORS:
            return None

    def forget(self) -> None:
        """Drops the prefetched rows: rows before them were not sent."""
        self._pending = None

    def close(self) -> None:
        self.forget()
        if self._thread is not None:
            # Submitted, because `connection` is per thread: this closes the thread's, not the caller's.
            self._thread.submit(connection.close)
            self._thread.shutdown()
            self._thread = None

    def _run(self, spec: S) -> R:
        try:
            return self._fetch(spec)
        except DATABASE_ERRORS:
            connection.close()
            raise
