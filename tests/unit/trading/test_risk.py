"""The rules between a wish and an order."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.terms import Side
from apps.exchange.types import Ticker
from apps.strategies.base import OrderPlan
from apps.trading.limits import RiskRejection
from apps.trading.models.orders import OrderKind
from apps.trading.risk import Exposure, SizedOrder, assess
from apps.trading.services.orders.positions import WORST_FEE_RATE, worst_cost
from tests.factories.fake_account import XBTUSD
from tests.factories.fake_exchange import FakeExchange


def ticker(price: Decimal = Decimal(30000)) -> Ticker:
    return FakeExchange(price=price).ticker("XBTUSD")


def exposure(**changes: Any) -> Exposure:
    facts: dict[str, Any] = {
        "quote_available": Decimal(1000),
        "base_available": Decimal("0.5"),
        "has_doubtful_order": False,
        "active_sides": frozenset(),
        "entries_held": False,
        "exit_due": False,
        "worst_fee_rate": WORST_FEE_RATE,
    }
    return Exposure(**(facts | changes))


def sized(plan: OrderPlan, at: Ticker | None = None, **changes: Any) -> SizedOrder:
    order = assess(plan, exposure=exposure(**changes), instrument=XBTUSD, ticker=at or ticker())
    assert isinstance(order, SizedOrder)
    return order


def code_of(plan: OrderPlan, **changes: Any) -> str:
    held = assess(plan, exposure=exposure(**changes), instrument=XBTUSD, ticker=ticker())
    assert isinstance(held, RiskRejection)
    return held.code


BUY = OrderPlan(side=Side.BUY, reason="")
SELL = OrderPlan(side=Side.SELL, reason="")


def test_a_purchase_takes_up_to_half_a_percent_above_the_best_price() -> None:
    assert sized(BUY) == SizedOrder(OrderKind.TAKE, Decimal("30150.0"), Decimal("0.03290426"))


def test_a_sale_takes_down_to_half_a_percent_below_the_best_price() -> None:
    assert sized(SELL) == SizedOrder(OrderKind.TAKE, Decimal("29850.0"), Decimal("0.5"))


def test_an_amount_is_spent_about_whole_at_the_best_price() -> None:
    order = sized(OrderPlan(side=Side.BUY, quote_amount=Decimal(50), reason=""))
    cost = order.volume * 30000
    assert Decimal("49.9") < cost * (1 + WORST_FEE_RATE) <= 50


def test_a_limit_price_rests_on_the_pairs_grid_never_worse_than_wished() -> None:
    plan = OrderPlan(side=Side.BUY, limit_price=Decimal("29000.19"), reason="")
    assert (sized(plan).kind, sized(plan).price) == (OrderKind.REST, Decimal("29000.1"))
    plan = OrderPlan(side=Side.SELL, limit_price=Decimal("31000.11"), reason="")
    assert sized(plan).price == Decimal("31000.2")


@given(
    available=st.decimals(min_value=1, max_value=10**7, places=8),
    price=st.decimals(min_value=1, max_value=10**6, places=1),
)
def test_no_purchase_can_cost_more_than_is_there_with_the_highest_fee(available: Decimal, price: Decimal) -> None:
    order = assess(BUY, exposure=exposure(quote_available=available), instrument=XBTUSD, ticker=ticker(price))
    if isinstance(order, SizedOrder):
        assert worst_cost(price=order.price, volume=order.volume) <= available
        assert order.volume == XBTUSD.floor_volume(order.volume)
        assert order.price % XBTUSD.tick_size == 0


@given(
    available=st.decimals(min_value=0, max_value=1000, places=8),
    wanted=st.none() | st.decimals(min_value=Decimal("0.00000001"), max_value=1000, places=8),
)
def test_no_sale_is_of_more_than_is_there(available: Decimal, wanted: Decimal | None) -> None:
    plan = OrderPlan(side=Side.SELL, base_volume=wanted, reason="")
    order = assess(plan, exposure=exposure(base_available=available), instrument=XBTUSD, ticker=ticker())
    assert isinstance(order, RiskRejection) or order.volume <= available


@pytest.mark.parametrize(
    ("plan", "facts", "code"),
    [
        (BUY, {"has_doubtful_order": True}, "outcome_unknown"),
        (BUY, {"active_sides": frozenset({"buy"})}, "order_open"),
        (SELL, {"active_sides": frozenset({"sell"})}, "order_open"),
        (BUY, {"entries_held": True}, "entries_held"),
        (BUY, {"exit_due": True}, "exit_due"),
        (BUY, {"quote_available": Decimal(0)}, "budget_exhausted"),
        (BUY, {"quote_available": Decimal(-5)}, "budget_exhausted"),
        (OrderPlan(side=Side.BUY, quote_amount=Decimal(1001), reason=""), {}, "budget_exhausted"),
        (OrderPlan(side=Side.BUY, quote_amount=Decimal("0.4"), reason=""), {}, "below_minimum"),
        (SELL, {"base_available": Decimal(0)}, "nothing_to_sell"),
        (SELL, {"base_available": Decimal("0.00001")}, "below_minimum"),
        (OrderPlan(side=Side.SELL, base_volume=Decimal(1), reason=""), {}, "position_too_small"),
    ],
)
def test_the_rule_that_holds_a_trade_back_is_named(plan: OrderPlan, facts: dict[str, Any], code: str) -> None:
    assert code_of(plan, **facts) == code


def test_an_exit_goes_on_while_an_entry_is_in_doubt() -> None:
    assert sized(SELL, has_doubtful_order=True, active_sides=frozenset({"buy"})).volume == Decimal("0.5")


def test_an_exit_goes_on_while_entries_pause() -> None:
    assert sized(SELL, entries_held=True).volume == Decimal("0.5")
