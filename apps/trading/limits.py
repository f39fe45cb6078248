"""The limits of a bot's orders, one rule each. Pure: limits and record in, the rule that is broken out.

They hold back purchases. A sale is held back only where there is no price, or one far from everything that is known of
the market: losses, sizes and rates never keep a bot in a position.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from apps.core.money import plain
from apps.core.terms import Side
from apps.exchange.types import Ticker
from apps.messages.bots import RiskLimits

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Figures:
    """Both figures of a rule that was broken, in `unit`."""

    limit: Decimal
    actual: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class RiskRejection:
    """The rule that refused an order: `code` for programs, `message` for people, and its figures if it has any."""

    code: str
    message: str
    figures: Figures | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the limits are compared with. Amounts in the quote asset.

    `last_close` is the close of the last candle, None where none has closed. `data_age_seconds` is the price's age.
    `purchases_last_minute` counts orders. `daily_loss` and `drawdown` are what was lost since the day began and since
    the highest profit; not below 0. `base_held` is the position, purchases in progress included.
    """

    budget: Decimal
    last_close: Decimal | None = None
    data_age_seconds: Decimal = ZERO
    purchases_last_minute: int = 0
    daily_loss: Decimal = ZERO
    drawdown: Decimal = ZERO
    base_held: Decimal = ZERO


def broken_limit(side: Side, *, limits: RiskLimits, record: Record, ticker: Ticker) -> RiskRejection | None:
    """The first limit that any order on this side would break now."""
    if rejection := no_price(side, ticker) or price_band(side, limits=limits, record=record, ticker=ticker):
        return rejection
    return next(_for_purchases(limits, record), None) if side is Side.BUY else None


def no_price(side: Side, ticker: Ticker) -> RiskRejection | None:
    """An order book without the side that the order would take, or whose sides have crossed."""
    price, what = (ticker.ask, "ask") if side is Side.BUY else (ticker.bid, "bid")
    if price <= 0:
        return RiskRejection("no_price", f"The market has no {what} price for {ticker.pair} now.")
    if ticker.ask > 0 and ticker.bid > ticker.ask:
        return RiskRejection(
            "no_price",
            f"The prices of {ticker.pair} have crossed: {plain(ticker.bid)} is bid, and {plain(ticker.ask)} asked.",
            Figures(ticker.ask, ticker.bid, "price"),
        )
    return None


def price_band(side: Side, *, limits: RiskLimits, record: Record, ticker: Ticker) -> RiskRejection | None:
    """A price too far from the last close. A sale may be near the last trade instead: markets fall between closes."""
    if not record.last_close:
        return None
    price = ticker.ask if side is Side.BUY else ticker.bid
    off = _distance(price, record.last_close)
    if side is Side.SELL and ticker.last > 0:
        off = min(off, _distance(price, ticker.last))
    if off <= limits.price_band_fraction:
        return None
    return RiskRejection(
        "price_band",
        f"The price {plain(price)} is {_percent(off)} away from the last close {plain(record.last_close)}; up to "
        f"{_percent(limits.price_band_fraction)} is allowed.",
        Figures(limits.price_band_fraction, _rounded(off), "fraction"),
    )


def _for_purchases(limits: RiskLimits, record: Record) -> Iterator[RiskRejection]:
    age = Decimal(limits.market_data_age_seconds)
    if record.data_age_seconds > age:
        yield RiskRejection(
            "market_data_age",
            f"The market data is {_rounded(record.data_age_seconds, 1)} s old; up to {age} s is allowed.",
            Figures(age, _rounded(record.data_age_seconds), "seconds"),
        )
    if record.purchases_last_minute >= limits.orders_per_minute:
        yield RiskRejection(
            "orders_per_minute",
            f"The bot made {record.purchases_last_minute} purchases in the last minute; {limits.orders_per_minute} are "
            "allowed.",
            Figures(Decimal(limits.orders_per_minute), Decimal(record.purchases_last_minute), "orders"),
        )
    for code, what, lost, fraction in (
        ("daily_loss", "since the day began (UTC)", record.daily_loss, limits.daily_loss_fraction),
        ("drawdown", "since its highest profit", record.drawdown, limits.drawdown_fraction),
    ):
        allowed = record.budget * fraction
        if lost >= allowed:
            yield RiskRejection(
                code,
                f"The bot has lost {_amount(lost)} {what}; from {_amount(allowed)} on it buys nothing.",
                Figures(_rounded(allowed), _rounded(lost), "quote"),
            )


def largest_purchase(
    amount: Decimal, *, is_all: bool, limits: RiskLimits, record: Record, price: Decimal
) -> Decimal | RiskRejection:
    """What may be spent. A purchase of all that is left is made smaller; one of a stated amount is refused."""
    room = None
    if limits.largest_position_quote is not None:
        held = record.base_held * price
        room = limits.largest_position_quote - held
        if room <= 0 or (not is_all and amount > room):
            worth = held if is_all else held + amount
            return RiskRejection(
                "largest_position",
                f"The position would be worth {_amount(worth)}; up to {_amount(limits.largest_position_quote)} is "
                "allowed.",
                Figures(limits.largest_position_quote, _rounded(worth), "quote"),
            )
    if limits.largest_order_quote is not None and not is_all and amount > limits.largest_order_quote:
        return RiskRejection(
            "largest_order",
            f"The purchase would cost {_amount(amount)}; up to {_amount(limits.largest_order_quote)} is allowed.",
            Figures(limits.largest_order_quote, _rounded(amount), "quote"),
        )
    return min(each for each in (amount, room, limits.largest_order_quote) if each is not None)


def _distance(price: Decimal, reference: Decimal) -> Decimal:
    return abs(price / reference - 1)


def _rounded(figure: Decimal, places: int = 6) -> Decimal:
    return round(figure, places)


def _amount(amount: Decimal) -> str:
    return plain(_rounded(amount, 2))


def _percent(fraction: Decimal) -> str:
    return f"{plain(_rounded(fraction * 100, 2))} %"
