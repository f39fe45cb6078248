"""Ledger postings of fills and releases. Pure: the postings of each add up to zero in each asset."""

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


def postings_of_release(*, volume: Decimal, base_asset: str) -> list[Posting]:
    """A release moves base from the bot's position to what belongs to no bot."""
    return [
        Posting(LedgerAccount.POSITION, base_asset, -volume),
        Posting(LedgerAccount.UNALLOCATED, base_asset, volume),
    ]


def postings_of_write_off(*, volume: Decimal, base_asset: str) -> list[Posting]:
    """A write-off moves base that the exchange does not have from the bot's position to dust."""
    return [
        Posting(LedgerAccount.POSITION, base_asset, -volume),
        Posting(LedgerAccount.DUST, base_asset, volume),
    ]
