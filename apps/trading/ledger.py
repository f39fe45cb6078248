"""Ledger postings of a fill. Pure: the postings of a fill add up to zero in each asset."""

from dataclasses import dataclass
from decimal import Decimal

from apps.core.terms import Side
from apps.trading.models.ledger import LedgerAccount


@dataclass(frozen=True, slots=True)
class Posting:
    account: LedgerAccount
    asset: str
    amount: Decimal


def postings_of(
    *, side: str, volume: Decimal, cost: Decimal, fee: Decimal, base_asset: str, quote_asset: str
) -> list[Posting]:
    """A purchase moves base from the market to the position and quote from cash to the market; a sale, the reverse.

    The fee moves quote from cash to the exchange on either side. Amounts of zero are not posted.
    """
    sign = 1 if side == Side.BUY else -1
    postings = [
        Posting(LedgerAccount.POSITION, base_asset, sign * volume),
        Posting(LedgerAccount.MARKET, base_asset, -sign * volume),
        Posting(LedgerAccount.CASH, quote_asset, -sign * cost - fee),
        Posting(LedgerAccount.MARKET, quote_asset, sign * cost),
        Posting(LedgerAccount.FEES, quote_asset, fee),
    ]
    return [posting for posting in postings if posting.amount]
