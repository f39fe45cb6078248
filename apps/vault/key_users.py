"""Who uses an exchange key: the app of the bots registers what the vault must ask before a key goes or changes.

The vault stands below the bots and knows none of them.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from apps.core.money import plain


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A bot that depends on a key: it is at work, has orders that have not ended, or holds coins."""

    bot_id: UUID
    name: str
    state: str
    is_at_work: bool
    open_orders: tuple[str, ...]
    pair: str
    base_asset: str
    volume: Decimal

    @property
    def only_holds(self) -> bool:
        return not self.is_at_work and not self.open_orders

    def as_details(self) -> dict[str, Any]:
        return {
            "bot_id": str(self.bot_id),
            "name": self.name,
            "state": self.state,
            "open_orders": list(self.open_orders),
            "pair": self.pair,
            "base_asset": self.base_asset,
            "volume": plain(self.volume),
        }


@dataclass(frozen=True, slots=True)
class KnownIds:
    """The exchange's ids of a few orders and trades that were seen in an account, newest first."""

    trade_ids: tuple[str, ...] = ()
    exchange_order_ids: tuple[str, ...] = ()


class KeyUsers(Protocol):
    """Called in the caller's transaction."""

    def lock(self, *, credential_id: UUID) -> None:
        """Keeps the bots of the key as they are until the end of the transaction. Call it before locking the key."""
        ...

    def uses(self, *, credential_id: UUID, now: datetime) -> list[KeyUse]:
        """Bots that depend on the key, in the order of their ids."""
        ...

    def has_unread_reports(self, *, credential_id: UUID, now: datetime) -> bool:
        """Whether `uses` may lack something that was reported a moment ago."""
        ...

    def abandon(self, *, credential_id: UUID, now: datetime) -> None:
        """Has every bot of the key give up what it holds."""
        ...

    def known_ids(self, *, credential_id: UUID) -> KnownIds:
        """What is known of the key's account."""
        ...


_users: list[KeyUsers] = []


def register(users: KeyUsers) -> None:
    """Replaces what was registered before."""
    _users[:] = [users]


def key_users() -> KeyUsers:
    """Raises LookupError in a process without the app of the bots: nothing may be concluded there."""
    if not _users:
        raise LookupError("No app has said which bots use a key.")
    return _users[0]
