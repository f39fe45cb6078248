"""Machine keys as every service verifies them: by digest, from a table that only the user service writes.

A process keeps what it found for a few seconds. So a revoked key is refused that soon in every service, with no message
that could get lost.
"""

import hmac
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.utils import timezone

from apps.core.errors import Forbidden, NotAuthenticated
from apps.core.expiry import BATCH_ROWS
from apps.core.identity.machine_key_format import digest_of_machine_key, is_well_formed
from apps.core.identity.networks import parsed_address
from apps.core.memory import Memory
from apps.core.models import KeyScope, MachineKey

# How long a process believes what it has read: a revoked key is refused after at most this.
REREAD_AFTER = timedelta(seconds=5)
# A use is written down at most this often, for each key and network.
NOTED_EVERY = timedelta(seconds=60)
# Uses of a key that ended are retained this long for questions about past activity.
USES_KEPT = timedelta(days=30)
_MOST_REMEMBERED = 10_000


class MachineKeyInvalid(NotAuthenticated):
    """The machine key is malformed, unknown, revoked or expired: one answer for all."""

    code = "machine_key_invalid"

    def __init__(self) -> None:
        super().__init__("The machine key is not valid: it is unknown, has been revoked, or has expired.")


class MachineKeyAddressRefused(Forbidden):
    """The key has a list of addresses, and the caller's is not in it."""

    code = "machine_key_address_refused"


@dataclass(frozen=True)
class KnownMachineKey:
    """What a service must know of a key. Times are UTC; `networks` empty: from everywhere."""

    id: UUID
    user_id: UUID
    digest: bytes
    scopes: frozenset[KeyScope]
    networks: tuple[str, ...]
    expires_at: datetime | None

    def allows_address(self, address: str | None) -> bool:
        if not self.networks:
            return True
        if address is None:
            return False
        caller = parsed_address(address)
        return any(caller in ipaddress.ip_network(network) for network in self.networks)


# By digest, in a tuple: that a digest is no key's is remembered too.
_known: Memory[bytes] = Memory(_MOST_REMEMBERED)
_noted: Memory[tuple[UUID, str]] = Memory(_MOST_REMEMBERED)


def machine_key_verify(key: str, *, address: str | None) -> KnownMachineKey:
    """The key of this secret, presented from a network address. Raises MachineKeyInvalid, MachineKeyAddressRefused."""
    if not is_well_formed(key):
        raise MachineKeyInvalid()
    digest = digest_of_machine_key(key)
    found = _find(digest)
    if found is None or not hmac.compare_digest(found.digest, digest):
        raise MachineKeyInvalid()
    if found.expires_at is not None and found.expires_at <= timezone.now():
        raise MachineKeyInvalid()
    if not found.allows_address(address):
        raise MachineKeyAddressRefused(
            f"This machine key may not be used from {address or 'an unknown address'}. Its owner chose the addresses.",
            address=address,
        )
    return found


def machine_key_still_valid(key_id: UUID, *, address: str | None) -> bool:
    """Whether a key that was verified for a connection may go on with it. Reads its row. Raises DatabaseError."""
    row = MachineKey.objects.filter(id=key_id, revoked_at=None).first()
    if row is None or (row.expires_at is not None and row.expires_at <= timezone.now()):
        return False
    return known_of(row).allows_address(address)


def forget() -> None:
    """Lets this process read the keys again: after it has changed one."""
    _known.clear()
    _noted.clear()


def use_is_due(*, key_id: UUID, network: str) -> bool:
    """Whether this process has not written a use down in the last minute."""
    return _noted.get((key_id, network), seconds=NOTED_EVERY.total_seconds()) is None


def use_write(*, key_id: UUID, network: str, now: datetime) -> bool:
    """Writes down that the key was used, if no process has in the last minute. Returns whether the network is new."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [key_id, network, now, now, now - NOTED_EVERY])
        row = cursor.fetchone()
    return bool(row and row[0])


def use_is_written(*, key_id: UUID, network: str) -> None:
    _noted.put((key_id, network), True)


_WRITE = """
INSERT INTO machine_key_use AS known (key_id, network, first_used_at, last_used_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (key_id, network) DO UPDATE SET last_used_at = excluded.last_used_at WHERE known.last_used_at <= %s
RETURNING first_used_at = last_used_at
"""


def machine_key_uses_purge(*, now: datetime) -> int:
    """Deletes a batch of the uses, which are network addresses, of keys that ended long ago. Returns how many."""
    ended = now - USES_KEPT
    with connection.cursor() as cursor:
        cursor.execute(_PURGE, [ended, ended, BATCH_ROWS])
        return int(cursor.rowcount)


_PURGE = """
DELETE FROM machine_key_use WHERE (key_id, network) IN (
    SELECT used.key_id, used.network FROM machine_key_use AS used JOIN machine_key ON machine_key.id = used.key_id
     WHERE machine_key.revoked_at < %s OR machine_key.expires_at < %s LIMIT %s)
"""


def _find(digest: bytes) -> KnownMachineKey | None:
    def read() -> tuple[KnownMachineKey | None]:
        row = MachineKey.objects.filter(digest=digest, revoked_at=None).first()
        return (None if row is None else known_of(row),)

    return _known.remembered(digest, read, seconds=REREAD_AFTER.total_seconds())[0]


def known_of(row: MachineKey) -> KnownMachineKey:
    return KnownMachineKey(
        id=row.id,
        user_id=row.user_id,
        digest=bytes(row.digest),
        scopes=frozenset(KeyScope(scope) for scope in row.scopes),
        networks=tuple(row.networks),
        expires_at=row.expires_at,
    )


def scopes_text(scopes: Collection[KeyScope]) -> list[str]:
    return sorted(scope.value for scope in scopes)
