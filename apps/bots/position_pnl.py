"""Position P&L of a bot from its fills, at average cost. Pure: depends on the ordered fills only."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from apps.core.money import DECIMAL_PLACES, MAX_DIGITS
from apps.core.terms import Side

ZERO = Decimal(0)
_CENT = Decimal(1).scaleb(-DECIMAL_PLACES)

# Precision at which no sum or product of amounts is rounded before it is stored.
_CONTEXT = Context(prec=2 * MAX_DIGITS, rounding=ROUND_HALF_EVEN)


def exactly() -> AbstractContextManager[Context]:
    """Decimal context for amounts. Python's default precision of 28 digits is less than an amount may have."""
    return localcontext(_CONTEXT)


@dataclass(frozen=True, slots=True)
class Fill:
    """`volume` is in the base asset, `cost` and `fee` in the quote asset."""

    side: Side
    volume: Decimal
    cost: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class PositionPnl:
    """Position and profit after a series of fills. `position_cost` includes buying fees; `realised_pnl` is after fees.

    `quote_flow` is the net inflow of the quote asset. `released_cost` is the cost of coins that were given up: neither
    profit nor loss. Invariant: `quote_flow + position_cost + released_cost == realised_pnl`.
    """

    trades: int = 0
    position_volume: Decimal = ZERO
    position_cost: Decimal = ZERO
    quote_flow: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    released_cost: Decimal = ZERO

    def after(self, fill: Fill) -> "PositionPnl":
        with exactly():
            if fill.side == Side.BUY:
                paid = fill.cost + fill.fee
                return PositionPnl(
                    trades=self.trades + 1,
                    position_volume=self.position_volume + fill.volume,
                    position_cost=self.position_cost + paid,
                    quote_flow=self.quote_flow - paid,
                    realised_pnl=self.realised_pnl,
                    fees=self.fees + fill.fee,
                    released_cost=self.released_cost,
                )
            received = fill.cost - fill.fee
            sold_cost = self._cost_of(fill.volume)
            return PositionPnl(
                trades=self.trades + 1,
                # Volume beyond the position, which the bot did not buy, has no cost.
                position_volume=max(self.position_volume - fill.volume, ZERO),
                position_cost=self.position_cost - sold_cost,
                quote_flow=self.quote_flow + received,
                realised_pnl=self.realised_pnl + received - sold_cost,
                fees=self.fees + fill.fee,
                released_cost=self.released_cost,
            )

    def without(self, volume: Decimal) -> "PositionPnl":
        """After `volume` of the position was given up, at its cost."""
        with exactly():
            cost = self._cost_of(volume)
            return replace(
                self,
                position_volume=max(self.position_volume - volume, ZERO),
                position_cost=self.position_cost - cost,
                released_cost=self.released_cost + cost,
            )

    def _cost_of(self, volume: Decimal) -> Decimal:
        if volume >= self.position_volume:
            return self.position_cost
        return (self.position_cost * volume / self.position_volume).quantize(_CENT)

    @property
    def average_price(self) -> Decimal | None:
        """Average cost of a unit of the position, fees included. None without a position."""
        if self.position_volume <= 0:
            return None
        with exactly():
            return (self.position_cost / self.position_volume).quantize(_CENT)

    def value_at(self, price: Decimal) -> Decimal:
        """Value of the position at a price, before the fee of selling it."""
        with exactly():
            return (self.position_volume * price).quantize(_CENT)


def position_pnl_of(fills: Iterable[Fill]) -> PositionPnl:
    """The position P&L after all fills, which must be in execution order."""
    pnl = PositionPnl()
    for fill in fills:
        pnl = pnl.after(fill)
    return pnl
