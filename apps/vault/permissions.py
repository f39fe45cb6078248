"""Permissions that a key must not have, and those that bots need. Names as in Kraken's GetApiKeyInfo."""

from collections.abc import Collection
from datetime import datetime, timedelta

from apps.core.terms import Mode
from apps.exchange.types import KeyInfo
from apps.vault.errors import KeyExpired, KeyMayWithdraw, KeyPermissionsUnknown

# An owner is warned this long before a key expires.
EXPIRES_SOON = timedelta(days=14)

# Bots read balances, orders and fills, and place and cancel orders.
NEEDED = ("query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades")


def refuse_dangerous_permissions(info: KeyInfo) -> None:
    """Raises KeyMayWithdraw if a permission's name has "withdraw" in it, KeyPermissionsUnknown if none are reported."""
    if info.permissions is None:
        raise KeyPermissionsUnknown("The exchange does not say what this key may do, so it is not taken.")
    dangerous = sorted(name for name in info.permissions if "withdraw" in name.lower())
    if dangerous:
        raise KeyMayWithdraw(
            f"This key may withdraw funds ({', '.join(dangerous)}). Make one without that right.", rights=dangerous
        )


def refuse_expired(info: KeyInfo, *, now: datetime) -> None:
    """Raises KeyExpired."""
    if info.expires_at is not None and info.expires_at <= now:
        raise KeyExpired(
            f"This key expired at {info.expires_at:%Y-%m-%d %H:%M} UTC. Make a new one and replace it.",
            expired_at=info.expires_at.isoformat(),
        )


def missing_permissions(permissions: Collection[str]) -> list[str]:
    return [name for name in NEEDED if name not in permissions]


def warnings_of(
    *,
    permissions: Collection[str],
    ip_allowlist: Collection[str],
    nonce_window: int,
    mode: str,
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> list[str]:
    """Sentences for the owner of the key about settings that should be changed."""
    warnings = []
    missing = missing_permissions(permissions)
    if missing:
        warnings.append(f"Bots cannot trade with this key: it lacks {', '.join(missing)}.")
    if mode == Mode.LIVE and not ip_allowlist:
        warnings.append("The key works from every address. Bind it to this platform's.")
    if nonce_window:
        warnings.append("The key has a nonce window: a request that arrives twice may count twice. Set it to 0.")
    if expires_at is not None and now is not None and expires_at - now < EXPIRES_SOON:
        warnings.append(f"The key expires at {expires_at:%Y-%m-%d %H:%M} UTC; bots stop then. Replace it before.")
    return warnings
