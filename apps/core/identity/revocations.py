"""Sessions that ended while access tokens of theirs are still valid, as every service knows them.

The user service and the staff site add a row in the transaction that ends a session. Each process keeps a copy in
memory and reads what is new every few seconds; no broker and no cache is involved. A process that cannot read for
STALE_AFTER refuses every token: it does not know which of them still count.
"""

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from apps.core.errors import DependencyUnavailable
from apps.core.expiry import delete_batch
from apps.core.models import RevokedSession

log = structlog.get_logger(__name__)

# How late a process learns of an ended session.
READ_EVERY = timedelta(seconds=5)
# Without a successful read for this long, tokens are refused.
STALE_AFTER = timedelta(seconds=45)
# A row may become visible this long after it was recorded: no transaction of the platform stays open longer.
OVERLAP = timedelta(seconds=60)
# Beyond the token's own lifetime: the clocks of services differ.
_MARGIN = timedelta(minutes=1)

Rows = Iterable[tuple[UUID, datetime, datetime]]


class RevocationsUnknown(DependencyUnavailable):
    """Which sessions have ended is not known: no token is accepted."""


class RevokedSessions:
    """The sessions that ended. Threads share it: one of them reads, the others go on with what is known.

    `read` returns session id, expiry and time of recording of the rows recorded after a time, or of all.
    """

    def __init__(self, read: Callable[[datetime | None], Rows], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._ended: dict[UUID, datetime] = {}
        self._recorded_until: datetime | None = None
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._is_failing = False

    def contains(self, session_id: UUID) -> bool:
        """Raises RevocationsUnknown."""
        now = self._clock()
        if self._tried_at is None or now - self._tried_at >= READ_EVERY.total_seconds() or self.is_stale():
            self._catch_up()
        return session_id in self._ended

    def is_stale(self) -> bool:
        return self._read_at is None or self._clock() - self._read_at >= STALE_AFTER.total_seconds()

    def unread_seconds(self) -> float | None:
        """How long reading has failed; None if the last read succeeded, or none was needed."""
        return self._clock() - (self._read_at or self._clock()) if self._is_failing else None

    def forget(self) -> None:
        """The next question reads everything again."""
        self._ended, self._recorded_until, self._read_at, self._tried_at = {}, None, None, None
        self._is_failing = False

    def _catch_up(self) -> None:
        # While what is known is fresh enough, one thread reads and the others do not wait for it.
        if not self._lock.acquire(blocking=self.is_stale()):
            return
        try:
            if not self._is_due():
                return
            try:
                self._add(self._read(self._recorded_until))
                self._is_failing = False
            except (DatabaseError, InterfaceError) as error:
                self._is_failing = True
                log.warning("revocations_not_read", error=type(error).__name__)
                if self.is_stale():
                    raise RevocationsUnknown(
                        "Which sessions have ended cannot be read. Try again.", retry_after_seconds=5
                    ) from None
            finally:
                self._tried_at = self._clock()
        finally:
            self._lock.release()

    def _is_due(self) -> bool:
        """Whether another thread has not just read, or this one waited for a read that failed."""
        if self._tried_at is None or self.is_stale():
            return True
        return self._clock() - self._tried_at >= READ_EVERY.total_seconds()

    def _add(self, rows: Rows) -> None:
        began = self._clock()
        now = timezone.now()
        # Replaced, not changed: other threads are reading it.
        ended = {session_id: until for session_id, until in self._ended.items() if until > now}
        recorded_until = self._recorded_until
        for session_id, expires_at, recorded_at in rows:
            ended[session_id] = expires_at
            if recorded_until is None or recorded_at > recorded_until:
                recorded_until = recorded_at
        self._ended, self._recorded_until, self._read_at = ended, recorded_until, began


def _rows(recorded_until: datetime | None) -> Rows:
    rows = RevokedSession.objects.filter(expires_at__gt=timezone.now())
    if recorded_until is not None:
        rows = rows.filter(recorded_at__gt=recorded_until - OVERLAP)
    return list(rows.values_list("session_id", "expires_at", "recorded_at"))


_sessions = RevokedSessions(lambda recorded_until: _rows(recorded_until))  # noqa: PLW0108  (tests replace it)


def session_is_revoked(session_id: UUID) -> bool:
    """Whether the session ended at least READ_EVERY ago. Raises RevocationsUnknown."""
    return _sessions.contains(session_id)


def revocations_unread_seconds() -> float | None:
    """How long this process has failed to read; None while it does not."""
    return _sessions.unread_seconds()


def forget() -> None:
    """Lets this process read again at the next question."""
    _sessions.forget()


def sessions_revoke(*, session_ids: Iterable[UUID], now: datetime) -> None:
    """Lets every service refuse the access tokens of these sessions, once the caller's transaction has committed."""
    expires_at = now + settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"] + _MARGIN
    rows = [RevokedSession(session_id=session_id, expires_at=expires_at) for session_id in session_ids]
    RevokedSession.objects.bulk_create(rows, ignore_conflicts=True)


def revocations_purge(*, now: datetime) -> int:
    """Deletes a batch of rows of sessions whose last access token has expired. Returns how many."""
    return delete_batch(RevokedSession.objects.filter(expires_at__lt=now))
