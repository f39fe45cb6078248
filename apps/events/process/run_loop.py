"""The frame of every background process: step after step until SIGTERM or SIGINT, through restarts of PostgreSQL."""

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
from django.db import InterfaceError, OperationalError, connections

logger = structlog.get_logger(__name__)

# After a failure of the database: this long, then twice as long each time, up to the maximum.
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0

DATABASE_ERRORS = (OperationalError, InterfaceError)
# https://www.postgresql.org/docs/15/errcodes-appendix.html: serialization failure, deadlock, lock not available.
_CONFLICTS = frozenset({"40001", "40P01", "55P03"})


def is_conflict(error: BaseException) -> bool:
    """Whether PostgreSQL refused because of another transaction: it is there, and trying again helps."""
    return getattr(error.__cause__, "pgcode", None) in _CONFLICTS


class Stop:
    """Whether the process was asked to end. Safe to set from a signal handler, cheap to ask from any thread."""

    def __init__(self) -> None:
        # A pipe and not a threading.Event: an Event that a handler sets while its own thread waits on it deadlocks.
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._requested = False

    def __bool__(self) -> bool:
        return self._requested

    def request(self) -> None:
        if not self._requested:
            self._requested = True
            os.write(self._writer, b"x")

    def wait(self, seconds: float) -> bool:
        """Sleeps; wakes at once when the end is requested. Returns whether it is."""
        if not self._requested and seconds > 0:
            select.select([self._reader], [], [], seconds)
        return self._requested

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def stop_on_signals(stop: Stop) -> Iterator[Stop]:
    """SIGTERM and SIGINT request the end of `stop` while the block runs; a second SIGINT interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, _: FrameType | None) -> None:
        if stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.request()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_until_stopped(step: Callable[[], float], *, stop: Stop | None = None) -> None:
    """Calls `step` until SIGTERM or SIGINT (or `stop`); `step` returns the seconds to wait before the next call.

    A step that finds PostgreSQL gone is tried again, less and less often, for ever. Any other error ends the loop.
    """
    own = stop is None
    # Not `stop or Stop()`: one that nobody has requested yet is false.
    stop = Stop() if stop is None else stop
    database = DatabaseRetry()
    try:
        with stop_on_signals(stop):
            while not stop:
                try:
                    seconds = step()
                except DATABASE_ERRORS as error:
                    seconds = database.failed(error)
                else:
                    database.worked()
                stop.wait(seconds)
    finally:
        connections.close_all()
        if own:
            stop.close()


class DatabaseRetry:
    """Decides how long to wait for a database that does not answer, and says so once at each change."""

    def __init__(self) -> None:
        self._failures = 0

    def failed(self, error: Exception) -> float:
        """The seconds to wait. The dead connection is closed, so that the next use makes a new one."""
        seconds: float = min(FIRST_PAUSE_SECONDS * 2.0**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures = min(self._failures + 1, 10)
        reason = str(error).strip().splitlines()
        logger.warning(
            "PostgreSQL does not answer; waiting for it. Nothing is lost.",
            reason=reason[0] if reason else type(error).__name__,
            next_try_in_seconds=seconds,
        )
        for connection in connections.all(initialized_only=True):
            connection.close()
        return seconds

    def worked(self) -> None:
        if self._failures:
            logger.info("PostgreSQL answers again.", after_failed_tries=self._failures)
        self._failures = 0
