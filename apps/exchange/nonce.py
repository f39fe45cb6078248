"""One signer a key at a time, across all processes: each turn signs one call with a nonce above the last one.

The exchange checks nonces in order of arrival, so a turn lasts until the answer has arrived. It is a session-level
advisory lock of PostgreSQL: a process that dies releases it with its connection, and no transaction is open during the
call. (Behind a pooler in transaction mode such a lock has no effect: connect directly.)
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.db import DatabaseError, InterfaceError, connection

from apps.exchange.errors import ExchangeCallInTransaction, NotSent

log = structlog.get_logger(__name__)

_ALLOCATE = """
    INSERT INTO exchange_nonce (key_digest, last_nonce, used_at) VALUES (%s, %s, now())
    ON CONFLICT (key_digest) DO UPDATE
    SET last_nonce = GREATEST(EXCLUDED.last_nonce, exchange_nonce.last_nonce + 1), used_at = EXCLUDED.used_at
    RETURNING last_nonce
"""


def key_digest(api_key: str) -> str:
    """SHA-256 of an API key, to store in place of the key."""
    return hashlib.sha256(api_key.encode()).hexdigest()


@contextmanager
def signing_turn(api_key: str) -> Iterator[int]:
    """Inside the block only the caller may sign with the key, once, with the given nonce: Unix time in ns, or above.

    Waits for other callers up to PostgreSQL's lock_timeout. Raises NotSent where the lock or a nonce cannot be had,
    and ExchangeCallInTransaction.
    """
    if connection.in_atomic_block:
        raise ExchangeCallInTransaction("An exchange must not be called inside a database transaction.")
    digest = key_digest(api_key)
    lock = int.from_bytes(bytes.fromhex(digest)[:8], "big", signed=True)
    try:
        _take(lock)
        yield _allocate(digest)
    finally:
        # Also where the wait was interrupted: to release a lock that is not held is harmless, one left over would stay.
        _release(lock)


def nonce_forget(api_key: str) -> None:
    """Deletes the nonce of a key that is not used again."""
    _execute("DELETE FROM exchange_nonce WHERE key_digest = %s", key_digest(api_key))


def _take(lock: int) -> None:
    try:
        _execute("SELECT pg_advisory_lock(%s)", lock)
    except (DatabaseError, InterfaceError) as error:
        connection.close_if_unusable_or_obsolete()
        raise NotSent("Other calls with this key are still in progress.") from error


def _allocate(digest: str) -> int:
    try:
        return _execute(_ALLOCATE, digest, time.time_ns())
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


def _execute(statement: str, *parameters: str | int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row and isinstance(row[0], int) else 0
