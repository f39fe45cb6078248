"""The run loop of every background process: steps until SIGTERM or SIGINT, retried through restarts of PostgreSQL."""

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
from django.db import InterfaceError, OperationalError, connections

from apps.events.process.backoff import Backoff
from apps.events.process.watchdog import Watchdog, process_watchdog

logger = structlog.get_logger(__name__)

DATABASE_ERRORS = (OperationalError, InterfaceError)
# https://www.postgresql.org/docs/15/errcodes-appendix.html: serialization failure, deadlock, lock not available.
_NOTED_SECONDS = 10.0
_CONFLICTS = frozenset({"40001", "40P01", "55P03"})


def is_conflict(error: BaseException) -> bool:
    """Whether PostgreSQL refused because of a concurrent transaction. It is up, and a retry can succeed."""
    return getattr(error.__cause__, "pgcode", None) in _CONFLICTS


class Stop:
    """A request to stop. Safe to set in a signal handler, cheap to read from any thread."""

    def __init__(self) -> None:
        # A pipe, not a threading.Event: an Event that a handler sets while its own thread waits on it deadlocks.
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
        """Sleeps until the time has passed or a stop is requested. Returns whether one is."""
        if not self._requested and seconds > 0:
            select.select([self._reader], [], [], seconds)
        return self._requested

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def stop_on_signals(stop: Stop) -> Iterator[Stop]:
    """SIGTERM and SIGINT request `stop` while the block runs; a second SIGINT raises KeyboardInterrupt."""
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


def run_until_stopped(step: Callable[[], float], *, stop: Stop | None = None, backoff: Backoff | None = None) -> None:
    """Calls `step` until SIGTERM or SIGINT (or `stop`); `step` returns the seconds to wait before the next call.

    A step that fails because PostgreSQL is down is retried with `backoff`, without a limit. Any other error ends the
    loop.
    """
    own = stop is None
    # Not `stop or Stop()`: a Stop is false until it is requested.
    stop = Stop() if stop is None else stop
    database = DatabaseRetry(backoff)
    watchdog, name = process_watchdog(), threading.current_thread().name
    try:
        with stop_on_signals(stop):
            while not stop:
                watchdog.step_done(name)
                try:
                    seconds = step()
                except DATABASE_ERRORS as error:
                    seconds = database.failed(error)
                else:
                    database.worked()
                _wait(stop, seconds, watchdog, name)
    finally:
        watchdog.ended(name)
        connections.close_all()
        if own:
            stop.close()


def _wait(stop: Stop, seconds: float, watchdog: Watchdog, name: str) -> None:
    """A loop that waits for its next step is not one that hangs, however long it waits."""
    while True:
        watchdog.step_done(name)
        if stop.wait(min(seconds, _NOTED_SECONDS)) or seconds <= _NOTED_SECONDS:
            return
        seconds -= _NOTED_SECONDS


class DatabaseRetry:
    """Back-off while PostgreSQL is down, with a log entry for each failure and for the recovery."""

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff()

    def failed(self, error: Exception) -> float:
        """Returns the seconds to wait. Closes the dead connection, so that the next use opens a new one."""
        seconds = self._backoff.failed()
        reason = str(error).strip().splitlines()
        logger.warning(
            "postgresql_unavailable",
            reason=reason[0] if reason else type(error).__name__,
            next_try_in_seconds=seconds,
        )
        for connection in connections.all(initialized_only=True):
            connection.close()
        return seconds

    def worked(self) -> None:
        if failures := self._backoff.succeeded():
            logger.info("postgresql_available_again", after_failed_tries=failures)
