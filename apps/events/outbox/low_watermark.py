"""Low watermark of the outbox: every row at or below it has left the outbox or is parked.

Fetches start above it. Otherwise each fetch would read the index entries of deleted rows. They stay while a backup or
a long report keeps PostgreSQL from removing them: millions after a busy hour.

The watermark must not pass a row whose transaction has drawn its id and has not committed. A transaction takes its
transaction id before it draws a row id. So when every transaction that was open at the time of a highest row id has
ended, no lower row id can appear.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection

# The watermark restarts from 0 at this interval: a row that it passed by mistake would be late, not lost.
SECONDS_BETWEEN_RESETS = 300.0

_SNAPSHOT = """
SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() AS s
"""
_OLDEST = """
SELECT min(id) FROM outbox
 WHERE transport = %s AND next_attempt_at < 'infinity' AND id > %s AND id <= %s
"""


@dataclass(frozen=True)
class _Candidate:
    """A row id that may become the watermark, and the first transaction id that was not in use when it was seen."""

    row_id: int
    next_transaction: int


class LowWatermark:
    """The watermark of one transport, in one process: `value` is below every row that is or can become visible."""

    def __init__(self, transport: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.value = 0
        self._transport = transport
        self._clock = clock
        self._candidate: _Candidate | None = None
        self._reset_at = clock()

    def reset(self) -> None:
        """Restarts from 0, because rows below may have become visible: a parked key was released."""
        self.value = 0
        self._candidate = None
        self._reset_at = self._clock()

    def advance(self, *, highest: int) -> None:
        """Advances as far as is safe. `highest` is the highest row id fetched so far.

        Call it about once a second. Raises DatabaseError.
        """
        if self._clock() - self._reset_at > SECONDS_BETWEEN_RESETS:
            self.reset()
        with connection.cursor() as cursor:
            cursor.execute(_SNAPSHOT)
            oldest_transaction, next_transaction = cursor.fetchone()
            if self._candidate is not None and oldest_transaction >= self._candidate.next_transaction:
                cursor.execute(_OLDEST, [self._transport, self.value, self._candidate.row_id])
                (oldest,) = cursor.fetchone()
                self.value = self._candidate.row_id if oldest is None else oldest - 1
                self._candidate = None
        if self._candidate is None and highest > self.value:
            self._candidate = _Candidate(highest, next_transaction)
