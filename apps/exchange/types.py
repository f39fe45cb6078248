"""Requests to an exchange and its answers. Amounts are Decimal, times are aware UTC.

Optional fields are None where the exchange did not say: in its answers missing is normal.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from apps.core.terms import Side

ZERO = Decimal(0)

# A UUID, its 32 hexadecimal digits, or up to 18 printable ASCII characters (Kraken's guide "Client order identifiers").
_CLIENT_ORDER_ID = re.compile(
    r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[\x21-\x7e](?:[\x20-\x7e]{0,16}[\x21-\x7e])?"
)


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class OrderStatus(StrEnum):
    """`canceled` and `expired` orders may carry fills: an end says nothing about what was executed."""

    PENDING = "pending"
    OPEN = "open"
    CLOSED = "closed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_live(self) -> bool:
        return self in (OrderStatus.PENDING, OrderStatus.OPEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order to place. `volume` in base, `price` in quote; a market order has no price.

    `client_order_id` identifies this one attempt. `deadline` bounds the doubt about a lost answer: the exchange accepts
    the order until then at the latest. The adapter sends an earlier deadline where the order can leave at once, and
    does not send an order that could not leave in time.
    """

    pair: str
    side: Side
    order_type: OrderType
    volume: Decimal
    price: Decimal | None = None
    client_order_id: str
    deadline: datetime
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False

    def __post_init__(self) -> None:
        if (self.order_type is OrderType.LIMIT) is (self.price is None):
            raise ValueError("A limit order has a price, a market order has none.")
        if not _CLIENT_ORDER_ID.fullmatch(self.client_order_id):
            raise ValueError("client_order_id must be a UUID or up to 18 printable ASCII characters.")
        if self.deadline.tzinfo is None:
            raise ValueError("deadline must be an aware time.")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The exchange accepted the order; its state must be read. `warnings` are the exchange's own texts."""

    exchange_order_id: str
    description: str = ""
    warnings: tuple[str, ...] = ()


class RejectionKind(StrEnum):
    """What the caller must do after a definitive refusal. The order was not placed."""

    FINAL = "final"  # release the reservation, tell the user, do not retry unchanged
    BACK_OFF = "back_off"  # rate limit: wait `retry_after_seconds`, then make a new attempt
    MARKET_CLOSED = "market_closed"  # pause entries on the pair
    KEY_INVALID = "key_invalid"  # stop every call on the key
    KEY_LOCKED = "key_locked"  # stop every call on the key
    PERMISSION = "permission"  # ask key_info: stop every call on the key, or pause the bot where the right is there
    ACCOUNT_LIMIT = "account_limit"  # stop entries on the key
    BUG = "bug"  # the request was malformed: alert, and pause entries


@dataclass(frozen=True, slots=True)
class Rejected:
    """The order was not placed. `code` for programs, `message` for people, `exchange_error` from the exchange."""

    code: str
    message: str
    kind: RejectionKind
    exchange_error: str
    retry_after_seconds: int | None = None


Submission = Accepted | Rejected


@dataclass(frozen=True, slots=True)
class Cancellation:
    """`count` orders were cancelled. Zero proves nothing: the order may have been filled; read its state."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeOrder:
    """An order as the exchange reports it. `cost` and `fee` in quote; `average_price` is None before the first fill."""

    exchange_order_id: str
    status: OrderStatus
    pair: str
    side: Side
    order_type: str
    volume: Decimal
    executed_volume: Decimal
    cost: Decimal
    fee: Decimal
    average_price: Decimal | None = None
    limit_price: Decimal | None = None
    client_order_id: str | None = None
    userref: int | None = None
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    reason: str = ""
    trade_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeTrade:
    """A fill. `volume` in base; `price`, `cost` and `fee` in quote. `trade_id` is unique over all trades.

    Kraken names the pair of a trade by its code (XXBTZUSD), that of an order by its altname (XBTUSD).
    """

    trade_id: str
    exchange_order_id: str
    pair: str
    side: Side
    price: Decimal
    volume: Decimal
    cost: Decimal
    fee: Decimal
    executed_at: datetime
    is_maker: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One change of one balance on the exchange's own ledger.

    `kind` is the exchange's word for it, such as trade, deposit or withdrawal; `reference` is the trade's id for a
    trade. `fee` is taken in the same asset, in addition to `amount`.
    """

    entry_id: str
    reference: str
    kind: str
    asset: str
    amount: Decimal
    fee: Decimal
    at: datetime

    @property
    def change(self) -> Decimal:
        return self.amount - self.fee


@dataclass(frozen=True, slots=True)
class Balance:
    """An asset's balance and how much of it open orders hold. `held` may exceed `total` (auto-earn): free is then 0."""

    asset: str
    total: Decimal
    held: Decimal = ZERO

    @property
    def free(self) -> Decimal:
        return max(ZERO, self.total - self.held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """Best prices now and figures of the last 24 hours. Prices in quote, volumes in base."""

    pair: str
    ask: Decimal
    bid: Decimal
    last: Decimal
    open: Decimal
    high_24h: Decimal
    low_24h: Decimal
    volume_24h: Decimal
    average_24h: Decimal
    trades_24h: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """`opened_at` is the candle's first moment, in the market's own time."""

    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    average: Decimal
    volume: Decimal
    trades: int


@dataclass(frozen=True, slots=True)
class Ohlc:
    """Closed candles, oldest first, and the one that is still forming."""

    closed: tuple[Candle, ...]
    forming: Candle | None = None


@dataclass(frozen=True, slots=True)
class Level:
    price: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Best level first on both sides."""

    pair: str
    asks: tuple[Level, ...]
    bids: tuple[Level, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """Properties of an API key. `expires_at` None: it does not expire. `permissions` None: not reported."""

    name: str = ""
    permissions: frozenset[str] | None = None
    ip_allowlist: tuple[str, ...] = ()
    expires_at: datetime | None = None
    nonce_window: int = 0
    created_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """`status`: online, maintenance, cancel_only or post_only. `is_synthetic`: its prices are generated.

    `speeds` of replayed markets by pair: seconds of market time in a second of wall time. Empty for a real market.
    """

    status: str
    at: datetime | None = None
    is_synthetic: bool = False
    speeds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Fees of one pair as fractions of the cost (0.004 is 0.4 %), from the account's 30-day volume."""

    taker: Decimal
    maker: Decimal
    volume_30d: Decimal
    currency: str
