"""The public keys that verify the platform's user tokens, as every service knows them.

They stand in the table `verification_key`, which the user service alone writes: a service learns a new key without a
restart, and verifies while the user service is down. Until keys have been rotated for the first time the table is
empty, and the key of the environment (MUCKARD_JWT_PUBLIC_KEY) is the only one. From then on the table alone decides.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from apps.core.identity.jwk import key_id, public_key
from apps.core.identity.verified_tokens import verified_tokens
from apps.core.models import VerificationKey

log = structlog.get_logger(__name__)

# A process reads the table again after this long: that late it learns of a new key and of one that ended early.
REREAD_AFTER = timedelta(seconds=20)
# Not more often for unknown key ids, whatever is sent.
REREAD_AT_MOST_EVERY = timedelta(seconds=5)


@dataclass(frozen=True)
class KnownKey:
    """`ends_at` (UTC): from when it verifies nothing any more; None while that is open."""

    key: EllipticCurvePublicKey
    ends_at: datetime | None


class KeySet:
    """Keys by id, as last read. Threads share it: one of them reads again, the others go on with what is known."""

    def __init__(self, read: Callable[[], Mapping[str, KnownKey]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._keys: Mapping[str, KnownKey] | None = None
        self._read_at = 0.0
        self._lock = threading.Lock()

    def keys(self) -> Mapping[str, KnownKey]:
        """Raises DatabaseError or InterfaceError where none was ever read."""
        if self._keys is None or self._is_older_than(REREAD_AFTER):
            self._read_again()
        return self._keys or {}

    def find(self, kid: str) -> KnownKey | None:
        found = self.keys().get(kid)
        if found is None and self._is_older_than(REREAD_AT_MOST_EVERY):
            self._read_again()
            found = self.keys().get(kid)
        return found

    def forget(self) -> None:
        """The next question reads the table."""
        self._keys = None

    def _is_older_than(self, age: timedelta) -> bool:
        return self._clock() - self._read_at >= age.total_seconds()

    def _read_again(self) -> None:
        if not self._lock.acquire(blocking=self._keys is None):
            return
        try:
            self._keys = self._read()
        except (DatabaseError, InterfaceError) as error:
            if self._keys is None:
                raise
            log.warning("verification_keys_not_read", error=type(error).__name__)
        finally:
            self._read_at = self._clock()
            self._lock.release()


def _rows() -> dict[str, KnownKey]:
    rows = VerificationKey.objects.values_list("kid", "public_pem", "ends_at")
    return {kid: KnownKey(public_key(pem), ends_at) for kid, pem, ends_at in rows}


_keys = KeySet(lambda: _rows())  # noqa: PLW0108  (looked up at each call, so that tests can replace it)


def verifying_keys(*, now: datetime | None = None) -> dict[str, EllipticCurvePublicKey]:
    """Every key that verifies now or will soon, by id."""
    at = now or timezone.now()
    known = _keys.keys() or _of_environment()
    return {kid: found.key for kid, found in known.items() if _lives(found, at)}


def verifying_key(kid: str) -> EllipticCurvePublicKey | None:
    """The key of that id, None where it is unknown or has ended."""
    found = _keys.find(kid)
    if found is None and not _keys.keys():
        found = _of_environment().get(kid)
    return found.key if found is not None and _lives(found, timezone.now()) else None


def forget() -> None:
    """Lets this process read the keys again: after it has changed them."""
    _keys.forget()
    verified_tokens.clear()


def _lives(found: KnownKey, now: datetime) -> bool:
    return found.ends_at is None or found.ends_at > now


def _of_environment() -> dict[str, KnownKey]:
    pem: str = settings.SIMPLE_JWT["VERIFYING_KEY"]
    if not pem:
        return {}
    key = public_key(pem)
    return {key_id(key): KnownKey(key, None)}
