"""Order validation before matching. Source of the rules: Kraken's AssetPairs fields and AddOrder parameters."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from apps.paper.engine.orders import OrderType, Side, TimeInForce
from apps.paper.errors import (
    CostMinimumNotMet,
    DeadlineElapsed,
    InvalidArguments,
    InvalidPrice,
    OrderMinimumNotMet,
    TickSizeCheckFailed,
)
from apps.paper.instruments import Pair
from apps.paper.market.dump_file import LARGEST

# Kraken, AddOrder: "min now() + 2 seconds, max now() + 60 seconds", at the arrival of the request.
MIN_DEADLINE = timedelta(seconds=2)
MAX_DEADLINE = timedelta(seconds=60)
CLOCK_TOLERANCE = timedelta(seconds=1)
MIN_LIFE = timedelta(seconds=5)

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")
_FREE_TEXT = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,16}[\x21-\x7e])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """The terms of an order as a client sends them. Times are wall times (aware UTC)."""

    pair: Pair
    side: Side
    kind: OrderType
    volume: Decimal
    limit: Decimal | None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    oflags: str = "fciq"
    expires_at: datetime | None = None
    deadline: datetime | None = None
    userref: int | None = None
    cl_ord_id: str | None = None


def check_terms(terms: OrderTerms) -> None:
    """Raises the KrakenRefusal of the first rule that the terms break."""
    if (terms.kind is OrderType.LIMIT) is (terms.limit is None):
        raise InvalidArguments("price")
    if terms.kind is OrderType.MARKET and (terms.post_only or terms.time_in_force is not TimeInForce.GTC):
        raise InvalidArguments("oflags" if terms.post_only else "timeinforce")
    if terms.post_only and terms.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
        raise InvalidArguments("timeinforce")
    if (terms.time_in_force is TimeInForce.GTD) is (terms.expires_at is None):
        raise InvalidArguments("expiretm")
    if terms.cl_ord_id is not None and (terms.userref is not None or not is_client_order_id(terms.cl_ord_id)):
        raise InvalidArguments("cl_ord_id")
    check_volume(terms.pair, terms.volume)
    if terms.limit is not None:
        check_price(terms.pair, terms.limit)
        check_cost(terms.pair, terms.volume, terms.limit)


def check_volume(pair: Pair, volume: Decimal) -> None:
    if volume <= 0 or volume.scaleb(pair.lot_decimals) >= LARGEST or volume != pair.volume(pair.lots(volume)):
        raise InvalidArguments("volume")
    if volume < pair.ordermin:
        raise OrderMinimumNotMet


def check_price(pair: Pair, price: Decimal) -> None:
    if price <= 0 or price.scaleb(pair.pair_decimals) >= LARGEST:
        raise InvalidPrice
    if price != pair.price(pair.ticks(price)):
        raise TickSizeCheckFailed


def check_cost(pair: Pair, volume: Decimal, price: Decimal) -> None:
    if volume * price < pair.costmin:
        raise CostMinimumNotMet


def check_times(terms: OrderTerms, now: datetime) -> None:
    """Checks deadline and expiry. `now` is the moment of matching, so that the deadline covers waiting for locks."""
    check_not_elapsed(terms.deadline, now)
    if terms.expires_at is not None and terms.expires_at < now + MIN_LIFE - CLOCK_TOLERANCE:
        raise InvalidArguments("expiretm")


def check_deadline(deadline: datetime | None, arrived_at: datetime) -> None:
    """Checks that the deadline is within Kraken's window from the arrival of the request."""
    check_not_elapsed(deadline, arrived_at)
    if deadline is not None and not arrived_at + MIN_DEADLINE <= deadline <= arrived_at + MAX_DEADLINE:
        raise InvalidArguments("deadline")


def check_not_elapsed(deadline: datetime | None, now: datetime) -> None:
    if deadline is not None and deadline < now:
        raise DeadlineElapsed


def is_client_order_id(text: str) -> bool:
    """A UUID, its 32 hexadecimal digits, or at most 18 printable ASCII characters."""
    return _UUID.fullmatch(text) is not None or _FREE_TEXT.fullmatch(text) is not None
