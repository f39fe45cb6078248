"""Risk rules and order sizing. Pure: an order plan and the exposure in, a sized order or a rejection out.

Orders that take the market are immediate-or-cancel limit orders at a price slightly beyond the best one. So the highest
possible cost of a purchase is known before it is sent, and a sudden price gap is not bought.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from apps.core.terms import Side
from apps.exchange.errors import OrderNotPlaceable
from apps.exchange.instrument import Instrument
from apps.exchange.types import OrderRequest, OrderType, Ticker
from apps.messages.bots import RiskLimits
from apps.strategies.base import OrderPlan
from apps.trading.limits import Record, RiskRejection, broken_limit, largest_purchase, no_price
from apps.trading.models.orders import OrderKind

# How far beyond the best price an order may take, as a fraction of that price.
SLIPPAGE = Decimal("0.005")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What a bot may still commit, with active orders counted at their worst case.

    `quote_available` and `base_available` are net of reservations. `has_doubtful_order`: the outcome of some order is
    unknown. `active_sides`: the sides with an active order. `exit_due`: a sale that was decided is not done.
    `worst_fee_rate` is a fraction of the cost.
    """

    quote_available: Decimal
    base_available: Decimal
    has_doubtful_order: bool
    active_sides: frozenset[str]
    entries_held: bool
    exit_due: bool
    worst_fee_rate: Decimal


@dataclass(frozen=True, slots=True)
class SizedOrder:
    """An order that passed the rules. Price in quote and volume in base, on the pair's grid."""

    kind: OrderKind
    price: Decimal
    volume: Decimal


def assess(
    plan: OrderPlan,
    *,
    exposure: Exposure,
    instrument: Instrument,
    ticker: Ticker,
    limits: RiskLimits | None = None,
    record: Record | None = None,
) -> SizedOrder | RiskRejection:
    """The sized order that the plan asks for, or the first rule that it breaks.

    Without `limits` and `record` none of the bot's limits is asked, as for the sale of a position that is given up.
    """
    rejection = _rejection(plan, exposure) or no_price(plan.side, ticker)
    if rejection is None and limits is not None and record is not None:
        rejection = broken_limit(plan.side, limits=limits, record=record, ticker=ticker)
    if rejection is not None:
        return rejection
    price = _price(plan, instrument, ticker)
    if plan.side is Side.BUY and limits is not None and record is not None:
        is_all = plan.quote_amount is None
        wanted = exposure.quote_available if plan.quote_amount is None else plan.quote_amount
        allowed = largest_purchase(wanted, is_all=is_all, limits=limits, record=record, price=ticker.ask)
        if isinstance(allowed, RiskRejection):
            return allowed
        if allowed < wanted:
            plan = replace(plan, quote_amount=allowed)
    volume = _volume(plan, exposure, instrument, ticker, price)
    if isinstance(volume, RiskRejection):
        return volume
    kind = OrderKind.TAKE if plan.limit_price is None else OrderKind.REST
    return _placeable(plan.side, SizedOrder(kind, price, volume), instrument)


def _rejection(plan: OrderPlan, exposure: Exposure) -> RiskRejection | None:
    if plan.side is Side.BUY and exposure.has_doubtful_order:
        return RiskRejection("outcome_unknown", "The outcome of an earlier order is not known yet.")
    if plan.side in exposure.active_sides:
        return RiskRejection("order_open", f"An earlier {plan.side} order is still open.")
    if plan.side is Side.BUY and exposure.exit_due:
        return RiskRejection("exit_due", "A sale that was decided is not done yet; nothing is bought before it is.")
    if plan.side is Side.BUY and exposure.entries_held:
        return RiskRejection("entries_held", "The exchange refused a recent order; entries pause for a while.")
    return None


def _price(plan: OrderPlan, instrument: Instrument, ticker: Ticker) -> Decimal:
    if plan.side is Side.BUY:
        return instrument.floor_price(plan.limit_price or ticker.ask * (1 + SLIPPAGE))
    return instrument.ceil_price(plan.limit_price or ticker.bid * (1 - SLIPPAGE))


def _volume(
    plan: OrderPlan, exposure: Exposure, instrument: Instrument, ticker: Ticker, price: Decimal
) -> Decimal | RiskRejection:
    if plan.side is Side.SELL:
        wanted = plan.base_volume if plan.base_volume is not None else exposure.base_available
        if plan.quote_amount is not None:
            wanted = plan.quote_amount / price
        if exposure.base_available <= 0:
            return RiskRejection("nothing_to_sell", "The bot holds nothing that it could sell.")
        if wanted > exposure.base_available:
            return RiskRejection("position_too_small", "The bot holds less than is to be sold.")
        return instrument.floor_volume(wanted)
    amount = plan.quote_amount if plan.quote_amount is not None else exposure.quote_available
    if exposure.quote_available <= 0:
        return RiskRejection("budget_exhausted", "The bot's budget is spent.")
    if amount > exposure.quote_available:
        return RiskRejection("budget_exhausted", "What is left of the bot's budget does not cover the purchase.")
    # The amount at the best price, and never more than is available at the order's limit price.
    expected = price if plan.limit_price is not None else ticker.ask
    volume = min(amount / expected, exposure.quote_available / price) / (1 + exposure.worst_fee_rate)
    return instrument.floor_volume(volume)


def _placeable(side: Side, order: SizedOrder, instrument: Instrument) -> SizedOrder | RiskRejection:
    if order.volume <= 0:
        return RiskRejection(
            "below_minimum", f"The order would be below the exchange's minimum for {instrument.altname}."
        )
    try:
        instrument.check(_as_request(side, order, instrument))
    except OrderNotPlaceable as refusal:
        is_small = refusal.rule in ("order_minimum", "cost_minimum")
        return RiskRejection("below_minimum" if is_small else f"order_{refusal.rule}", refusal.message)
    return order


def _as_request(side: Side, order: SizedOrder, instrument: Instrument) -> OrderRequest:
    # Only price, volume and pair are checked; the id and the deadline are placeholders.
    return OrderRequest(
        pair=instrument.altname,
        side=side,
        order_type=OrderType.LIMIT,
        volume=order.volume,
        price=order.price,
        client_order_id="unsent",
        deadline=datetime.max.replace(tzinfo=UTC),
    )
