"""One signer a key at a time, across all processes: each turn signs one call with a nonce above the last one.

The exchange checks nonces in order of arrival, so a turn lasts until the answer has arrived. It is a session-level
advisory lock of PostgreSQL: a process that dies releases it with its connection, and no transaction is open during the
call. (Behind a pooler in transaction mode such a lock has no effect: connect directly.)
"""

import hashlib
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Q

from apps.exchange.errors import ExchangeCallInTransaction, KeyLocked, KeySuspended, NotSent
from apps.exchange.models import ExchangeNonce

log = structlog.get_logger(__name__)

TURN_WITHIN_SECONDS = 10.0
TRY_EVERY_SECONDS = 0.01

SUSPENDED = "This key failed its last test. Test it again, or connect another."
LOCKED = "The exchange has locked the key for about 15 minutes after too many failed calls. It is not used until then."

_ALLOCATE = """
    INSERT INTO exchange_nonce (key_digest, last_nonce, used_at) VALUES (%s, %s, now())
    ON CONFLICT (key_digest) DO UPDATE
    SET last_nonce = GREATEST(EXCLUDED.last_nonce, exchange_nonce.last_nonce + 1), used_at = EXCLUDED.used_at
    RETURNING last_nonce, refused_code, refused_until
"""
_SUSPEND = """
    UPDATE exchange_nonce SET refused_code = %s, refused_at = %s, refused_until = %s
     WHERE key_digest = %s AND (refused_code = '' OR refused_until <= %s)
"""
_RESTORE = """
    UPDATE exchange_nonce SET refused_code = '', refused_at = NULL, refused_until = NULL
     WHERE key_digest = %s AND refused_code <> ''
"""


def key_digest(api_key: str) -> str:
    """SHA-256 of an API key, to store in place of the key."""
    return hashlib.sha256(api_key.encode()).hexdigest()


@contextmanager
def signing_turn(api_key: str, *, is_test: bool = False, is_urgent: bool = False) -> Iterator[int]:
    """Inside the block only the caller may sign with the key, once, with the given nonce: Unix time in ns, or above.

    Waits for other callers up to PostgreSQL's lock_timeout. An urgent call, which is a cancel, goes before all others
    that wait: it waits for the call under way only. Raises NotSent where the lock or a nonce cannot be had,
    ExchangeCallInTransaction, and for a suspended key KeySuspended or KeyLocked; a test of the key does not heed that.
    """
    if connection.in_atomic_block:
        raise ExchangeCallInTransaction("An exchange must not be called inside a database transaction.")
    digest = key_digest(api_key)
    lock = int.from_bytes(bytes.fromhex(digest)[:8], "big", signed=True)
    gate = int.from_bytes(bytes.fromhex(digest)[8:16], "big", signed=True)
    try:
        if is_urgent:
            _take(lock)
        else:
            _take_behind_cancels(lock, gate)
        nonce, refused_code, refused_until = _allocate(digest)
        if refused_code and not is_test:
            _refuse_suspended(refused_until, now=datetime.now(UTC))
        yield nonce
    finally:
        # Also where the wait was interrupted: to release a lock that is not held is harmless, one left over would stay.
        _release(lock)


def key_suspend(api_key: str, *, code: str, now: datetime, until: datetime | None = None) -> bool:
    """Nothing is signed with the key any more, until `until` or until `key_restore`. Whether this call suspended it.

    Call it in the turn whose answer refused the key: then no other process has made a call in between.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SUSPEND, [code, now, until, key_digest(api_key), now])
        return bool(cursor.rowcount)


def key_restore(api_key: str) -> None:
    """The key passed a test: it may be used again."""
    with connection.cursor() as cursor:
        cursor.execute(_RESTORE, [key_digest(api_key)])


def key_is_suspended(digest: str, *, now: datetime) -> bool:
    """Whether the exchange refused the key with this digest, and it has not passed a test since."""
    refused = ExchangeNonce.objects.filter(key_digest=digest).exclude(refused_code="")
    return refused.filter(Q(refused_until=None) | Q(refused_until__gt=now)).exists()


def refuse_suspended_key(api_key: str) -> None:
    """Raises KeySuspended or KeyLocked, as a call would."""
    refused = ExchangeNonce.objects.filter(key_digest=key_digest(api_key)).exclude(refused_code="")
    for until in refused.values_list("refused_until", flat=True):
        _refuse_suspended(until, now=datetime.now(UTC))


def _refuse_suspended(until: datetime | None, *, now: datetime) -> None:
    if until is None:
        raise KeySuspended(SUSPENDED)
    if until > now:
        raise KeyLocked(LOCKED, retry_after_seconds=math.ceil((until - now).total_seconds()))


def nonce_forget(api_key: str) -> None:
    """Deletes the nonce and the budget of a key that is not used again."""
    _execute("DELETE FROM exchange_nonce WHERE key_digest = %s", key_digest(api_key))
    _execute("DELETE FROM exchange_budget WHERE key_digest = %s", key_digest(api_key))


def _take(lock: int) -> None:
    try:
        _execute("SELECT pg_advisory_lock(%s)", lock)
    except (DatabaseError, InterfaceError) as error:
        connection.close_if_unusable_or_obsolete()
        raise NotSent("Other calls with this key are still in progress.") from error


def _take_behind_cancels(lock: int, gate: int) -> None:
    """Waits at the gate, first come first served, and then until the key is free and no urgent call waits for it.

    It tries and does not queue: a queued request would stand before cancels that come later. PostgreSQL grants no such
    attempt while another session is queued.
    """
    give_up_at = time.monotonic() + TURN_WITHIN_SECONDS
    try:
        _take(gate)
        while not _try(lock):
            if time.monotonic() > give_up_at:
                raise NotSent("Other calls with this key are still in progress.")
            time.sleep(TRY_EVERY_SECONDS)
    finally:
        _release(gate)


def _try(lock: int) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [lock])
            return bool(cursor.fetchone()[0])
    except (DatabaseError, InterfaceError) as error:
        connection.close_if_unusable_or_obsolete()
        raise NotSent("The key's turn cannot be had: the database does not answer.") from error


def _allocate(digest: str) -> tuple[int, str, datetime | None]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(_ALLOCATE, (digest, time.time_ns()))
            nonce, refused_code, refused_until = cursor.fetchone()
            return nonce, refused_code, refused_until
    except (DatabaseError, InterfaceError) as error:
        raise NotSent("No nonce could be drawn: the database does not answer.") from error


def _release(lock: int) -> None:
    """Never raises: the exchange's answer must not be lost."""
    try:
        _execute("SELECT pg_advisory_unlock(%s)", lock)
    except (DatabaseError, InterfaceError):
        # The lock ended with its session. A session that is still alive is closed, which releases the lock.
        log.warning("signing_turn_lost_its_session", exc_info=True)
        connection.close()


def _execute(statement: str, *parameters: str | int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
