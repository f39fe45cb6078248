"""Figures that a process reads from its servers from time to time, so that a scrape asks nobody and is quick."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog
from django.db import connection

from apps.core.metrics import gauge

log = structlog.get_logger(__name__)

SECONDS_BETWEEN = 10.0

read_at = gauge(
    "figures_read_timestamp_seconds",
    "When the process last read its figures from its servers, in Unix time.",
    ["figures"],
    processes=["relay", "dispatcher", "event-consumer", "user-consumer", "reconciler", "checkpointer"],
    children="livemostrecent",
)


@contextmanager
def figures_read(
    readers: Mapping[str, Callable[[], None]], *, seconds_between: float = SECONDS_BETWEEN
) -> Iterator[None]:
    """Calls each reader every so many seconds while the block runs, each in a thread of its own.

    A reader that fails is tried again: its gauges keep their values and `figures_read_timestamp_seconds` its time. It
    never disturbs the process's work.
    """
    ended = threading.Event()
    threads = [
        threading.Thread(target=_read, args=(name, read, ended, seconds_between), name=f"figures-{name}", daemon=True)
        for name, read in readers.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        # Not joined: a server that does not answer must not delay the end of the process.
        ended.set()


def _read(name: str, read: Callable[[], None], ended: threading.Event, seconds_between: float) -> None:
    while not ended.is_set():
        try:
            read()
            read_at.labels(name).set(time.time())
        except Exception as error:
            log.warning("figures_not_read", figures=name, error=type(error).__name__, exc_info=True)
        finally:
            connection.close()
        ended.wait(seconds_between)
