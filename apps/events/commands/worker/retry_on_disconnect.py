"""Retries database work while PostgreSQL cannot be reached, for the updates that end an attempt.

Without its end recorded, a command would be blocked until its lease expires.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

from apps.events.process.run_loop import DATABASE_ERRORS

T = TypeVar("T")

# Less than a lease: after that, the expired lease ends the attempt anyway.
RETRY_SECONDS = 20.0
PAUSE_SECONDS = 0.5


def retry_on_disconnect(work: Callable[[], T], *, seconds: float = RETRY_SECONDS) -> T:
    """Calls `work` until PostgreSQL answers, with a new connection each time, for up to `seconds`.

    A call may have taken effect although its answer was lost, so `work` must be idempotent. Raises OperationalError or
    InterfaceError when the time is up, and at once inside a transaction.
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
