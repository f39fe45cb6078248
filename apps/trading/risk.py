"""The rules between a strategy's wish and an order. Pure: they get the facts and answer with exact terms or a reason.

Orders that take the market are limit orders that end at once ("immediate or cancel") at a price a little beyond the
best one: what a purchase may cost at worst is known before it is sent, and a sudden gap is not bought.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from apps.core.terms import Side
from apps.exchange.errors import OrderNotPlaceable
from apps.exchange.instrument import Instrument
from apps.exchange.types import OrderRequest, OrderType, Ticker
from apps.strategies.base import OrderPlan
from apps.trading.models.orders import OrderKind

# How far beyond the best price an order may take.
SLIPPAGE = Decimal("0.005")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a bot has and owes at this moment, open orders counted at their worst.

    `quote_available` and `base_available` are free of reservations; `has_doubtful_order` says that some order's
    outcome is unknown; `active_sides` are the sides with an order that has not ended.
    """

    quote_available: Decimal
    base_available: Decimal
    has_doubtful_order: bool
    active_sides: frozenset[str]
    entries_held: bool
    worst_fee_rate: Decimal


@dataclass(frozen=True, slots=True)
class Terms:
    """An order that may be placed. On the pair's grid."""

    kind: OrderKind
    price: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Why there is no order: a code for programs, a sentence for people."""

    code: str
    message: str


def assess(plan: OrderPlan, *, standing: Standing, instrument: Instrument, ticker: Ticker) -> Terms | HeldBack:
    """The terms of the order that the plan wants, or the first rule that it breaks."""
    held = _is_held_back(plan, standing)
    if held is not None:
        return held
    price = _price(plan, instrument, ticker)
    volume = _volume(plan, standing, instrument, ticker, price)
    if isinstance(volume, HeldBack):
        return volume
    kind = OrderKind.TAKE if plan.limit_price is None else OrderKind.REST
    return _placeable(plan.side, Terms(kind, price, volume), instrument)


def _is_held_back(plan: OrderPlan, standing: Standing) -> HeldBack | None:
    if plan.side is Side.BUY and standing.has_doubtful_order:
        return HeldBack("outcome_unknown", "The outcome of an earlier order is not known yet.")
    if plan.side in standing.active_sides:
        return HeldBack("order_open", f"An earlier {plan.side} order is still open.")
    if plan.side is Side.BUY and standing.entries_held:
        return HeldBack("entries_held", "The exchange refused a recent order; entries pause for a while.")
    return None


def _price(plan: OrderPlan, instrument: Instrument, ticker: Ticker) -> Decimal:
    if plan.side is Side.BUY:
        return instrument.floor_price(plan.limit_price or ticker.ask * (1 + SLIPPAGE))
    return instrument.ceil_price(plan.limit_price or ticker.bid * (1 - SLIPPAGE))


def _volume(
    plan: OrderPlan, standing: Standing, instrument: Instrument, ticker: Ticker, price: Decimal
) -> Decimal | HeldBack:
    if plan.side is Side.SELL:
        wanted = plan.base_volume if plan.base_volume is not None else standing.base_available
        if plan.quote_amount is not None:
            wanted = plan.quote_amount / price
        if standing.base_available <= 0:
            return HeldBack("nothing_to_sell", "The bot holds nothing that it could sell.")
        if wanted > standing.base_available:
            return HeldBack("position_too_small", "The bot holds less than is to be sold.")
        return instrument.floor_volume(wanted)
    amount = plan.quote_amount if plan.quote_amount is not None else standing.quote_available
    if standing.quote_available <= 0:
        return HeldBack("budget_exhausted", "The bot's budget is spent.")
    if amount > standing.quote_available:
        return HeldBack("budget_exhausted", "What is left of the bot's budget does not cover the purchase.")
    # About the amount at the best price, and never more than is there at the worst.
    expected = price if plan.limit_price is not None else ticker.ask
    volume = min(amount / expected, standing.quote_available / price) / (1 + standing.worst_fee_rate)
    return instrument.floor_volume(volume)


def _placeable(side: Side, terms: Terms, instrument: Instrument) -> Terms | HeldBack:
    if terms.volume <= 0:
        return HeldBack("below_minimum", f"The order would be below the exchange's minimum for {instrument.altname}.")
    try:
        instrument.check(_as_request(side, terms, instrument))
    except OrderNotPlaceable as refusal:
        is_small = refusal.rule in ("order_minimum", "cost_minimum")
        return HeldBack("below_minimum" if is_small else f"order_{refusal.rule}", refusal.message)
    return terms


def _as_request(side: Side, terms: Terms, instrument: Instrument) -> OrderRequest:
    # Only its terms are looked at: the ids and times of a real request come when it is sent.
    return OrderRequest(
        pair=instrument.altname,
        side=side,
        order_type=OrderType.LIMIT,
        volume=terms.volume,
        price=terms.price,
        cl_ord_id="unsent",
        deadline=datetime.max.replace(tzinfo=UTC),
    )
