"""Who works on which slots, until when: leases in PostgreSQL, so that a standby takes over what a dead owner held.

A lease's end is kept by PostgreSQL's clock. An owner counts its own time from before it asked, on a clock that never
jumps, and lets go a margin earlier: then it has stopped before anybody else can start.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterable

import structlog
from django.db import connection

logger = structlog.get_logger(__name__)

# The part of a lease after which its owner no longer relies on it.
SAFE_PART = 0.8
# The part of a lease after which it is renewed.
RENEW_PART = 0.3

# In the order of the names: two processes that ask for the same leases must not lock them crosswise.
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

# Expired, not deleted: the epoch must never go back.
_RELEASE = "UPDATE lease SET expires_at = now() WHERE owner = %s AND name = ANY(%s) AND expires_at > now()"


def process_owner() -> str:
    """A name for this process that no other one ever has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class LeaseSet:
    """The leases on `slots` of one `kind` of work that this process holds or would like to hold."""

    def __init__(self, kind: str, slots: Iterable[int], *, seconds: float, owner: str | None = None) -> None:
        self.kind = kind
        self.owner = owner or process_owner()
        self.seconds = seconds
        self._wanted = {f"{kind}:{slot:02d}": slot for slot in slots}
        self._epochs: dict[int, int] = {}
        self._taken_at = float("-inf")

    def keep(self) -> frozenset[int]:
        """Renews what is due and takes what others let go: call it before every piece of work. The slots held now."""
        if time.monotonic() - self._taken_at >= self.seconds * RENEW_PART:
            return self.take()
        return self.held()

    def take(self) -> frozenset[int]:
        """Takes every lease that is free, expired or ours already, in one statement. Raises DatabaseError."""
        began = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(_TAKE, {"owner": self.owner, "seconds": self.seconds, "names": list(self._wanted)})
            epochs = {self._wanted[name]: epoch for name, epoch in cursor.fetchall()}
        self._report(epochs)
        self._epochs, self._taken_at = epochs, began
        return self.held()

    renew = take

    def held(self) -> frozenset[int]:
        """The slots that are surely ours; none once the safe part of the lease is over."""
        return frozenset(self._epochs) if self.safe_seconds_left > 0 else frozenset()

    def epoch(self, slot: int) -> int:
        """The fencing token of a held slot: it grows with every change of owner. KeyError where it is not held."""
        return self._epochs[slot]

    @property
    def safe_seconds_left(self) -> float:
        """For how long the held slots are still surely ours; 0 or less when they no longer are."""
        return self._taken_at + self.seconds * SAFE_PART - time.monotonic()

    def release(self) -> None:
        """Lets go of everything at once, so that a standby need not wait for the end of the lease."""
        names = [name for name, slot in self._wanted.items() if slot in self._epochs]
        self._epochs, self._taken_at = {}, float("-inf")
        if names:
            with connection.cursor() as cursor:
                cursor.execute(_RELEASE, [self.owner, names])

    def _report(self, epochs: dict[int, int]) -> None:
        if taken := sorted(set(epochs) - set(self._epochs)):
            logger.info("Leases taken.", kind=self.kind, slots=len(taken), owner=self.owner)
        if lost := sorted(set(self._epochs) - set(epochs)):
            logger.warning("Leases lost to another owner.", kind=self.kind, slots=len(lost), owner=self.owner)
