"""The row below which nothing is left to send, so that relay and dispatcher need not walk past what was deleted.

While anything keeps PostgreSQL from cleaning up (a backup, a long report), deleted rows stay in the index: after an
hour of a busy outbox each fetch would read millions of them. The floor must never pass a row that a transaction has
numbered and not committed yet. A transaction takes its id before it draws a row's number, so once every transaction
that was open when a number was the highest has ended, no lower number can appear any more.
"""

import time
from dataclasses import dataclass

from django.db import connection

# From nothing again, in case: a row that was missed would be late then, and not lost.
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
    """The highest number that was seen, and the first transaction id after all that were open then."""

    number: int
    next_transaction: int


class LowWatermark:
    """`value` is below every row that is or can become visible."""

    def __init__(self, transport: str) -> None:
        self.value = 0
        self._transport = transport
        self._candidate: _Candidate | None = None
        self._reset_at = time.monotonic()

    def reset(self) -> None:
        """Rows far below come back: a parked key was released."""
        self.value = 0
        self._candidate = None
        self._reset_at = time.monotonic()

    def raise_if_safe(self, *, highest: int) -> None:
        """Call it once a second or so, with the highest row that was fetched so far. Raises DatabaseError."""
        if time.monotonic() - self._reset_at > SECONDS_BETWEEN_RESETS:
            self.reset()
        with connection.cursor() as cursor:
            cursor.execute(_SNAPSHOT)
            oldest_transaction, next_transaction = cursor.fetchone()
            if self._candidate is not None and oldest_transaction >= self._candidate.next_transaction:
                cursor.execute(_OLDEST, [self._transport, self.value, self._candidate.number])
                (oldest,) = cursor.fetchone()
                self.value = self._candidate.number if oldest is None else oldest - 1
                self._candidate = None
        if self._candidate is None and highest > self.value:
            self._candidate = _Candidate(highest, next_transaction)
