"""Profit and loss of a bot from its fills, at average cost. Pure: the same fills in order give the same book."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from apps.core.money import DECIMAL_PLACES, MAX_DIGITS
from apps.core.terms import Side

ZERO = Decimal(0)
_CENT = Decimal(1).scaleb(-DECIMAL_PLACES)

# Wide enough that no sum or product of amounts is rounded before it is stored.
_CONTEXT = Context(prec=2 * MAX_DIGITS, rounding=ROUND_HALF_EVEN)


def exactly() -> AbstractContextManager[Context]:
    """Python's own precision is 28 digits, less than an amount may have."""
    return localcontext(_CONTEXT)


@dataclass(frozen=True, slots=True)
class Fill:
    """`volume` is in the base asset, `cost` and `fee` in the quote asset."""

    side: Side
    volume: Decimal
    cost: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Book:
    """What fills left behind. `position_cost` includes the fees of buying; `realised_pnl` is after all fees.

    `quote_flow` is what came in less what went out: whatever was traded, `quote_flow + position_cost == realised_pnl`.
    """

    trades: int = 0
    position_volume: Decimal = ZERO
    position_cost: Decimal = ZERO
    quote_flow: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    fees: Decimal = ZERO

    def after(self, fill: Fill) -> "Book":
        with exactly():
            if fill.side == Side.BUY:
                paid = fill.cost + fill.fee
                return Book(
                    trades=self.trades + 1,
                    position_volume=self.position_volume + fill.volume,
                    position_cost=self.position_cost + paid,
                    quote_flow=self.quote_flow - paid,
                    realised_pnl=self.realised_pnl,
                    fees=self.fees + fill.fee,
                )
            received = fill.cost - fill.fee
            sold_cost = self._cost_of(fill.volume)
            return Book(
                trades=self.trades + 1,
                # A bot sells what it bought; anything beyond that cost it nothing.
                position_volume=max(self.position_volume - fill.volume, ZERO),
                position_cost=self.position_cost - sold_cost,
                quote_flow=self.quote_flow + received,
                realised_pnl=self.realised_pnl + received - sold_cost,
                fees=self.fees + fill.fee,
            )

    def _cost_of(self, volume: Decimal) -> Decimal:
        if volume >= self.position_volume:
            return self.position_cost
        return (self.position_cost * volume / self.position_volume).quantize(_CENT)

    @property
    def average_price(self) -> Decimal | None:
        """What a unit of the position was bought for, fees included; None without a position."""
        if self.position_volume <= 0:
            return None
        with exactly():
            return (self.position_cost / self.position_volume).quantize(_CENT)

    def value_at(self, price: Decimal) -> Decimal:
        """What the position is worth at a price, before the fee of selling it."""
        with exactly():
            return (self.position_volume * price).quantize(_CENT)


def book_of(fills: Iterable[Fill]) -> Book:
    """The book after all fills, given in the order in which they happened."""
    book = Book()
    for fill in fills:
        book = book.after(fill)
    return book
