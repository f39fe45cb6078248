"""The engine's order: terms, progress, hold and fills."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from apps.paper.engine.money import EXACT, rounded, rounded_up
from apps.paper.instruments import Asset, Pair

ZERO = Decimal(0)


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    GTC = "GTC"
    GTD = "GTD"
    IOC = "IOC"
    FOK = "FOK"


class Status(StrEnum):
    """An order is pending until it was matched. A canceled or expired order may have fills."""

    PENDING = "pending"
    OPEN = "open"
    CLOSED = "closed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_live(self) -> bool:
        return self in (Status.PENDING, Status.OPEN)


class Liquidity(StrEnum):
    TAKER = "taker"
    MAKER = "maker"


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of one order. `cost` and `fee` in quote currency, at the pair's cost decimals; `at` in wall time."""

    order: "WorkingOrder"
    price: Decimal
    volume: Decimal
    cost: Decimal
    fee: Decimal
    liquidity: Liquidity
    at: datetime


@dataclass(slots=True, eq=False, kw_only=True)
class WorkingOrder:
    """Terms and progress of an order.

    Fee rates are those at acceptance. Cost and fee are rounded as running totals: the trades of an order add up to its
    totals exactly and never exceed its hold.
    """

    pair: Pair
    side: Side
    kind: OrderType
    volume: Decimal
    limit: Decimal | None
    taker_rate: Decimal
    maker_rate: Decimal
    account_id: UUID
    queued_at: datetime
    number: int = 0  # sequence number: breaks ties of price and time
    ends_at: datetime | None = None
    ends_as: Status = Status.EXPIRED
    ends_because: str | None = None
    filled: Decimal = ZERO
    taker_notional: Decimal = ZERO
    maker_notional: Decimal = ZERO
    status: Status = Status.PENDING
    reason: str | None = None
    closed_at: datetime | None = None

    @property
    def remaining(self) -> Decimal:
        return self.volume - self.filled

    @property
    def limit_ticks(self) -> int:
        assert self.limit is not None, "a resting order has a limit"
        return self.pair.ticks(self.limit)

    @property
    def notional(self) -> Decimal:
        """Price times volume of all fills, exact."""
        return EXACT.add(self.taker_notional, self.maker_notional)

    @property
    def exact_fee(self) -> Decimal:
        return EXACT.fma(self.taker_notional, self.taker_rate, EXACT.multiply(self.maker_notional, self.maker_rate))

    @property
    def cost(self) -> Decimal:
        return rounded(self.notional, self.pair.cost_decimals)

    @property
    def fee(self) -> Decimal:
        return rounded(self.exact_fee, self.pair.cost_decimals)

    @property
    def average_price(self) -> Decimal:
        return EXACT.divide(self.notional, self.filled) if self.filled else ZERO

    @property
    def held_asset(self) -> Asset:
        return self.pair.quote if self.side is Side.BUY else self.pair.base

    @property
    def held(self) -> Decimal:
        """The hold: the most the order may still cost, which is its remainder at its limit plus the taker fee."""
        if not self.status.is_live:
            return ZERO
        if self.side is Side.SELL:
            return self.remaining
        if self.limit is None:
            return ZERO  # a market order never rests
        rest = EXACT.multiply(self.limit, self.remaining)
        decimals = self.pair.cost_decimals
        cost = rounded_up(EXACT.add(self.notional, rest), decimals) - self.cost
        fee = rounded_up(EXACT.fma(rest, self.taker_rate, self.exact_fee), decimals) - self.fee
        return cost + fee

    def fill(self, *, price: Decimal, volume: Decimal, liquidity: Liquidity, at: datetime) -> Fill:
        """Applies a fill; the last one closes the order."""
        cost_before, fee_before = self.cost, self.fee
        notional = EXACT.multiply(price, volume)
        if liquidity is Liquidity.TAKER:
            self.taker_notional = EXACT.add(self.taker_notional, notional)
        else:
            self.maker_notional = EXACT.add(self.maker_notional, notional)
        self.filled += volume
        if not self.remaining:
            self.end(Status.CLOSED, reason=None, at=at)
        return Fill(self, price, volume, self.cost - cost_before, self.fee - fee_before, liquidity, at)

    def end(self, status: Status, *, reason: str | None, at: datetime) -> None:
        self.status, self.reason, self.closed_at = status, reason, at
