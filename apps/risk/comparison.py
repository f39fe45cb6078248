"""Comparison of one asset's balance with the sub-ledger. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from apps.exchange.types import ZERO, LedgerRow
from apps.risk.budgets import ROUNDING

# Balances are compared no finer than they are shown, which is four decimals at least (Kraken: fiat 4, coins 8 to 10).
FEWEST_DECIMALS = 4
# Two lots of a coin with eight decimals: Kraken leaves so little behind, and it is no drift.
LOTS = Decimal("0.00000002")


@dataclass(frozen=True, slots=True)
class Difference:
    """`expected` is what the exchange must show, `found` what it shows, `allocated` what bots have; in the asset.

    `unexplained`: the ledger says something else. `uncovered`: bots have more than there is. `is_bound`: the exchange
    must show `expected` at least, because it is not known what an order came to.
    """

    asset: str
    code: Literal["unexplained", "uncovered"]
    expected: Decimal
    found: Decimal
    allocated: Decimal
    is_bound: bool = False

    @property
    def amount(self) -> Decimal:
        return self.found - self.expected


def tolerance(total: Decimal, *, postings: int) -> Decimal:
    """How far the exchange's rounding may take a balance after so many bookings; a lot or two in any case."""
    exponent = total.as_tuple().exponent
    decimals = max(FEWEST_DECIMALS, -exponent if isinstance(exponent, int) else 0)
    return max(LOTS, Decimal(1).scaleb(-decimals) * (1 + postings))


def difference_of(
    asset: str, *, total: Decimal, booked: Decimal, postings: int, allocated: Decimal, taken: Decimal | None = None
) -> Difference | None:
    """The difference of an asset's balance, or None where it is what it must be.

    `taken` is the most that orders whose end is not known may have taken of the asset; None where there are none. With
    it, only what is missing beyond it is a difference: such an order may have brought some as well.
    """
    allowed = tolerance(total, postings=postings)
    if taken is not None:
        least = booked - taken
        is_short = least - total > allowed
        return Difference(asset, "unexplained", least, total, allocated, is_bound=True) if is_short else None
    if abs(total - booked) > allowed:
        return Difference(asset, "unexplained", booked, total, allocated)
    if allocated - total > allowed + allocated * ROUNDING:
        return Difference(asset, "uncovered", allocated, total, allocated)
    return None


def explanation(rows: Sequence[LedgerRow], amount: Decimal, *, allowed: Decimal) -> Sequence[LedgerRow]:
    """The latest rows of an asset's ledger that add up to the amount; empty where none do.

    `rows` are the movements of one asset that no order of the platform made, oldest first. A balance holds all of them
    up to some moment, so what it has gained since an earlier comparison are the latest ones.
    """
    sum_ = ZERO
    for begin in range(len(rows) - 1, -1, -1):
        sum_ += rows[begin].change
        if abs(sum_ - amount) <= allowed:
            return rows[begin:]
    return ()
