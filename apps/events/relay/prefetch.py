"""Fetches the next records while the last ones are sent: PostgreSQL works while Python does."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from apps.events.loop import DATABASE_ERRORS
from apps.events.relay.rows import Record, next_records


class Wanted(NamedTuple):
    """Which records: of these slots, above the floor, at most `limit`, and none that are under way or parked."""

    slots: frozenset[int]
    limit: int
    under_way: list[int]
    parked: frozenset[UUID]
    floor: int = 0


class Prefetcher:
    """One thread with a connection of its own to PostgreSQL; made when it is first needed."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._wanted: Wanted | None = None
        self._coming: Future[list[Record]] | None = None

    def start(self, wanted: Wanted) -> None:
        """Begins to fetch. The answer to an earlier start is forgotten."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="relay-fetch")
        self._wanted, self._coming = wanted, self._thread.submit(_fetch, wanted)

    def take(self, wanted: Wanted) -> list[Record] | None:
        """What was fetched ahead, if it is still what is wanted; else None. Raises DatabaseError."""
        was_wanted, coming = self._wanted, self._coming
        self.forget()
        if was_wanted is None or coming is None:
            return None
        if (was_wanted.slots, was_wanted.limit, was_wanted.parked) != (wanted.slots, wanted.limit, wanted.parked):
            return None
        return coming.result()

    def forget(self) -> None:
        """What was fetched must not be sent: something before it was not."""
        self._wanted = self._coming = None

    def close(self) -> None:
        self.forget()
        if self._thread is not None:
            self._thread.submit(_close)
            self._thread.shutdown()
            self._thread = None


def fetch_now(wanted: Wanted) -> list[Record]:
    return next_records(**wanted._asdict())


def _fetch(wanted: Wanted) -> list[Record]:
    try:
        return fetch_now(wanted)
    except DATABASE_ERRORS:
        connection.close()
        raise


def _close() -> None:
    """In the thread: its connection, not the caller's."""
    connection.close()


def of_size(records: list[Record], most_bytes: int) -> list[Record]:
    """The first of the records, up to a size; at least one."""
    size = 0
    for index, record in enumerate(records):
        size += len(record.value or b"")
        if size > most_bytes and index:
            return records[:index]
    return records
