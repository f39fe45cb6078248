"""Ledger postings of a fill. Every posting has a counter-account, so that each asset's sum over all ledgers is zero."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from apps.paper.engine.orders import ZERO, Fill, Side


class EntryType(StrEnum):
    """Kraken's ledger entry types. The counter-account of a trade is the market, of its fee the exchange, of a deposit
    the outside."""

    TRADE = "trade"
    DEPOSIT = "deposit"


@dataclass(frozen=True, slots=True)
class Posting:
    """Adds `amount` to the balance of `asset` and takes `fee` from it. The fee is never negative."""

    asset: str
    amount: Decimal
    fee: Decimal

    @property
    def change(self) -> Decimal:
        return self.amount - self.fee


def postings_of(fill: Fill) -> tuple[Posting, Posting]:
    """The debit, then the credit. The fee is charged in the quote currency for buys and sells."""
    pair = fill.order.pair
    if fill.order.side is Side.BUY:
        return (
            Posting(pair.quote.code, -fill.cost, fill.fee),
            Posting(pair.base.code, fill.volume, ZERO),
        )
    return (
        Posting(pair.base.code, -fill.volume, ZERO),
        Posting(pair.quote.code, fill.cost, fill.fee),
    )
