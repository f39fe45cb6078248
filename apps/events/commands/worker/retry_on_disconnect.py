"""Waits a while for PostgreSQL with what ends an attempt: not said, it holds the command up until its lease is over."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

from apps.events.process.run_loop import DATABASE_ERRORS

T = TypeVar("T")

# Less than a lease: after that, the lease's end says the same.
PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.5


def patiently(work: Callable[[], T], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Calls `work` again for as long as PostgreSQL does not answer, with a new connection each time.

    An earlier call may have had its effect although its answer was lost: `work` must bear being done twice. Raises
    OperationalError or InterfaceError when the time is over, and at once within a transaction.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except DATABASE_ERRORS:
            if connection.in_atomic_block or time.monotonic() >= deadline:
                raise
            connection.close()
            time.sleep(PAUSE_SECONDS)
