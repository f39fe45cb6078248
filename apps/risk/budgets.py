"""How much of an account a bot may be given. Pure."""

from dataclasses import dataclass
from decimal import Decimal

from apps.core.money import plain
from apps.exchange.types import ZERO, Balance
from apps.risk.errors import BudgetExceedsAccount

# The exchange rounds every booking. A budget that is short by less than this fraction of it is covered.
ROUNDING = Decimal("0.00001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """What an account has for another bot, in one asset.

    `allocated` belongs to other bots: their cash, their coins in this asset, and what their sales in flight may bring.
    `held` is in orders that are not the platform's.
    """

    asset: str
    balance: Decimal
    allocated: Decimal
    held: Decimal

    @property
    def unallocated(self) -> Decimal:
        return self.balance - self.allocated - self.held


def cover_of(balance: Balance | None, *, asset: str, allocated: Decimal, reserved: Decimal) -> Cover:
    """`reserved` is what the platform's own open orders hold of the asset: the rest of the hold is others'."""
    total, held = (balance.total, balance.held) if balance else (ZERO, ZERO)
    return Cover(asset=asset, balance=total, allocated=allocated, held=max(ZERO, held - reserved))


def refuse_beyond(cover: Cover, *, asked: Decimal) -> None:
    """Raises BudgetExceedsAccount."""
    if asked <= cover.unallocated + asked * ROUNDING:
        return
    left = max(ZERO, cover.unallocated)
    raise BudgetExceedsAccount(
        f"The bot may spend {plain(asked)} {cover.asset}, and {plain(left)} of the account's {plain(cover.balance)} is "
        "neither another bot's nor in other orders. Lower the budget, stop another bot of this key, or deposit more.",
        asset=cover.asset,
        asked=plain(asked),
        balance=plain(cover.balance),
        allocated=plain(cover.allocated),
        held_by_other_orders=plain(cover.held),
        unallocated=plain(cover.unallocated),
    )
