"""What a key must not be able to do, and what it should. Names as in Kraken's GetApiKeyInfo."""

from collections.abc import Collection

from apps.core.terms import Mode
from apps.exchange.types import KeyInfo
from apps.vault.errors import KeyMayWithdraw, KeyRightsUnknown

# What bots need: balances, orders and fills, placing and cancelling.
NEEDED = ("query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades")


def refuse_dangerous_rights(info: KeyInfo) -> None:
    """Raises KeyMayWithdraw for a right with "withdraw" in its name, KeyRightsUnknown where none were told."""
    if info.permissions is None:
        raise KeyRightsUnknown("The exchange does not say what this key may do, so it is not taken.")
    rights = sorted(right for right in info.permissions if "withdraw" in right.lower())
    if rights:
        raise KeyMayWithdraw(
            f"This key may withdraw funds ({', '.join(rights)}). Make one without that right.", rights=rights
        )


def missing_rights(permissions: Collection[str]) -> list[str]:
    return [right for right in NEEDED if right not in permissions]


def warnings_of(
    *, permissions: Collection[str], ip_allowlist: Collection[str], nonce_window: int, mode: str
) -> list[str]:
    """What the owner of the key had better change, in sentences."""
    warnings = []
    missing = missing_rights(permissions)
    if missing:
        warnings.append(f"Bots cannot trade with this key: it lacks {', '.join(missing)}.")
    if mode == Mode.LIVE and not ip_allowlist:
        warnings.append("The key works from every address. Bind it to this platform's.")
    if nonce_window:
        warnings.append("The key has a nonce window: a request that arrives twice may count twice. Set it to 0.")
    return warnings
