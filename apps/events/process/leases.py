"""Leases on slots, in PostgreSQL: one process works on a slot, and a standby takes over the slots of a dead owner.

A lease expires by PostgreSQL's clock. The owner measures time on its monotonic clock, from before the statement that
renewed the lease, and stops relying on it a margin earlier. So the owner has stopped before another process can start.

Where that clock is set back, the lease of a dead owner would last as much longer. A lease that ends further ahead than
its duration is watched: one that is not renewed for its whole duration, by the watcher's monotonic clock, is expired.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import structlog
from django.db import connection
from django.db.backends.utils import CursorWrapper

logger = structlog.get_logger(__name__)

# The owner relies on its lease for this part of its duration.
SAFE_PART = 0.8
# The owner renews its lease after this part of its duration.
RENEW_PART = 0.3

# Rows are locked in the order of their names, so that two processes taking the same leases cannot deadlock.
_TAKE = """
INSERT INTO lease AS held (name, owner, epoch, expires_at)
SELECT name, %(owner)s, 1, now() + %(seconds)s * interval '1 second' FROM unnest(%(names)s) AS name ORDER BY name
ON CONFLICT (name) DO UPDATE SET
    epoch = held.epoch + (held.owner <> excluded.owner OR held.expires_at <= now())::int,
    owner = excluded.owner,
    expires_at = excluded.expires_at
WHERE held.owner = excluded.owner OR held.expires_at <= now()
RETURNING name, epoch
"""

_TOO_FAR_AHEAD = """
SELECT name, epoch, expires_at FROM lease
 WHERE name = ANY(%(names)s) AND owner <> %(owner)s AND expires_at > now() + %(seconds)s * interval '1 second'
"""

_EXPIRE = "UPDATE lease SET expires_at = now() WHERE name = %s AND epoch = %s AND expires_at = %s"

# The row is expired, not deleted: its fence (column epoch), must never decrease.
_RELEASE = "UPDATE lease SET expires_at = now() WHERE owner = %s AND name = ANY(%s) AND expires_at > now()"


def process_owner() -> str:
    """A name for this process, unique across hosts and restarts."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class LeaseSet:
    """The leases on `slots` of one `kind` of work that this process holds or tries to take. `clock` is monotonic."""

    def __init__(
        self,
        kind: str,
        slots: Iterable[int],
        *,
        seconds: float,
        owner: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = kind
        self.owner = owner or process_owner()
        self.seconds = seconds
        self._clock = clock
        self._wanted = {f"{kind}:{slot:02d}": slot for slot in slots}
        self._fences: dict[int, int] = {}
        self._taken_at = float("-inf")
        # Leases that end too far ahead, as they were first seen, and when
        self._watched: dict[tuple[str, int, datetime], float] = {}

    def keep(self) -> frozenset[int]:
        """Renews leases that are due and takes free ones. Call it before every piece of work. Returns the held slots.

        Raises DatabaseError.
        """
        if self._clock() - self._taken_at >= self.seconds * RENEW_PART:
            return self.take()
        return self.held()

    def take(self) -> frozenset[int]:
        """Takes every lease that is free, expired or already held here, in one statement. Raises DatabaseError."""
        began = self._clock()
        with connection.cursor() as cursor:
            values: dict[str, Any] = {"owner": self.owner, "seconds": self.seconds, "names": list(self._wanted)}
            cursor.execute(_TAKE, values)
            fences = {self._wanted[name]: fence for name, fence in cursor.fetchall()}
            if len(fences) < len(self._wanted):
                cursor.execute(_TOO_FAR_AHEAD, values)
                self._expire_unrenewed(cursor, cursor.fetchall())
        self._report(fences)
        self._fences, self._taken_at = fences, began
        return self.held()

    renew = take

    def held(self) -> frozenset[int]:
        """The held slots; none once the safe part of the lease is over."""
        return frozenset(self._fences) if self.safe_seconds_left > 0 else frozenset()

    def fence(self, slot: int) -> int:
        """The fencing token of a held slot; it grows with every change of owner. Raises KeyError if it is not held."""
        return self._fences[slot]

    @property
    def safe_seconds_left(self) -> float:
        """How long the held slots may still be relied on; 0 or less once they may not."""
        return self._taken_at + self.seconds * SAFE_PART - self._clock()

    def release(self) -> None:
        """Expires the held leases now, so that a standby need not wait for their end. Raises DatabaseError."""
        names = [name for name, slot in self._wanted.items() if slot in self._fences]
        self._fences, self._taken_at = {}, float("-inf")
        if names:
            with connection.cursor() as cursor:
                cursor.execute(_RELEASE, [self.owner, names])

    def _expire_unrenewed(self, cursor: CursorWrapper, too_far_ahead: list[tuple[str, int, datetime]]) -> None:
        """Expires the leases that were seen like this a whole duration ago; the next call takes them."""
        now = self._clock()
        self._watched = {lease: self._watched.get(lease, now) for lease in too_far_ahead}
        for lease, since in self._watched.items():
            if now - since >= self.seconds:
                cursor.execute(_EXPIRE, lease)
                logger.warning("lease_outlived_its_clock", kind=self.kind, name=lease[0])

    def _report(self, fences: dict[int, int]) -> None:
        if taken := sorted(set(fences) - set(self._fences)):
            logger.info("leases_taken", kind=self.kind, slots=len(taken), owner=self.owner)
        if lost := sorted(set(self._fences) - set(fences)):
            logger.warning("leases_lost", kind=self.kind, slots=len(lost), owner=self.owner)
