"""The limits of a bot's orders: each holds back purchases with both figures, and none but the price a sale."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.terms import Side
from apps.exchange.types import Ticker
from apps.messages.bots import RiskLimits
from apps.strategies.base import OrderPlan
from apps.trading.limits import Figures, Record, RiskRejection
from apps.trading.risk import SizedOrder, assess
from tests.factories.fake_account import XBTUSD
from tests.unit.trading.test_risk import exposure, ticker

BUY = OrderPlan(side=Side.BUY, reason="")
BUY_100 = OrderPlan(side=Side.BUY, quote_amount=Decimal(100), reason="")
SELL = OrderPlan(side=Side.SELL, reason="")


def record(**changes: Any) -> Record:
    return Record(**({"budget": Decimal(1000), "last_close": Decimal(30000)} | changes))


def assessed(
    plan: OrderPlan, *, limits: dict[str, Any] | None = None, at: Ticker | None = None, **facts: Any
) -> SizedOrder | RiskRejection:
    return assess(
        plan,
        exposure=exposure(),
        instrument=XBTUSD,
        ticker=at or ticker(),
        limits=RiskLimits(**(limits or {})),
        record=record(**facts),
    )


def figures_of(result: SizedOrder | RiskRejection) -> tuple[str, Figures | None]:
    assert isinstance(result, RiskRejection)
    return result.code, result.figures


def quoted(*, ask: str, bid: str, last: str = "30000") -> Ticker:
    return replace(ticker(), ask=Decimal(ask), bid=Decimal(bid), last=Decimal(last))


class TestPrices:
    @pytest.mark.parametrize(
        ("plan", "at"),
        [
            (BUY, quoted(ask="0", bid="0")),
            (BUY, quoted(ask="0", bid="29990")),
            (SELL, quoted(ask="30000", bid="0")),
            (BUY, quoted(ask="29000", bid="30000")),
            (SELL, quoted(ask="29000", bid="30000")),
        ],
    )
    def test_a_missing_or_crossed_price_is_refused_and_not_divided_by(self, plan: OrderPlan, at: Ticker) -> None:
        result = assessed(plan, at=at)
        assert isinstance(result, RiskRejection)
        assert result.code == "no_price"
        assert isinstance(assess(plan, exposure=exposure(), instrument=XBTUSD, ticker=at), RiskRejection)

    def test_a_market_without_buyers_can_be_bought_from(self) -> None:
        assert isinstance(assessed(BUY, at=quoted(ask="30000", bid="0")), SizedOrder)

    def test_a_price_ten_times_the_last_close_is_not_bought(self) -> None:
        result = assessed(BUY, at=ticker(Decimal(300000)))
        assert figures_of(result) == ("price_band", Figures(Decimal("0.1"), Decimal(9), "fraction"))
        assert isinstance(result, RiskRejection)
        assert result.message == "The price 300000 is 900 % away from the last close 30000; up to 10 % is allowed."

    @pytest.mark.parametrize(("price", "is_allowed"), [("27000", True), ("33000", True), ("26999", False)])
    def test_the_band_reaches_both_ways(self, price: str, is_allowed: bool) -> None:
        assert isinstance(assessed(BUY, at=ticker(Decimal(price))), SizedOrder) is is_allowed

    def test_a_sale_goes_on_in_a_market_that_falls_and_not_at_a_price_that_no_trade_was_near(self) -> None:
        assert isinstance(assessed(SELL, at=quoted(ask="20000", bid="19990", last="20000")), SizedOrder)
        assert figures_of(assessed(SELL, at=quoted(ask="30000", bid="3000")))[0] == "price_band"

    def test_without_a_closed_candle_there_is_no_band(self) -> None:
        assert isinstance(assessed(BUY, last_close=None, at=ticker(Decimal(1))), SizedOrder)


@pytest.mark.parametrize(
    ("limits", "facts", "code", "limit", "actual", "unit"),
    [
        ({"market_data_age_seconds": 10}, {"data_age_seconds": Decimal("10.5")}, "market_data_age", 10, "10.5", "s"),
        ({"orders_per_minute": 3}, {"purchases_last_minute": 3}, "orders_per_minute", 3, 3, "o"),
        ({"daily_loss_fraction": "0.2"}, {"daily_loss": Decimal(200)}, "daily_loss", 200, 200, "q"),
        ({"drawdown_fraction": "0.5"}, {"drawdown": Decimal("500.01")}, "drawdown", 500, "500.01", "q"),
        ({"largest_order_quote": 99}, {}, "largest_order", 99, 100, "q"),
        ({"largest_position_quote": 399}, {"base_held": Decimal("0.01")}, "largest_position", 399, 400, "q"),
    ],
)
def test_a_broken_limit_holds_a_purchase_back_with_both_figures_and_never_a_sale(  # noqa: PLR0917
    limits: dict[str, Any], facts: dict[str, Any], code: str, limit: Any, actual: Any, unit: str
) -> None:
    refused, figures = figures_of(assessed(BUY_100, limits=limits, **facts))
    assert figures is not None
    assert (refused, figures.limit, figures.actual, figures.unit[0]) == (code, Decimal(limit), Decimal(actual), unit)
    assert isinstance(assessed(SELL, limits=limits, **facts), SizedOrder)


@pytest.mark.parametrize(
    ("limits", "facts"),
    [
        ({}, {"data_age_seconds": Decimal(10)}),
        ({}, {"purchases_last_minute": 9}),
        ({}, {"daily_loss": Decimal("199.99")}),
        ({}, {"drawdown": Decimal("499.99")}),
        ({"largest_order_quote": 100}, {}),
        ({"largest_position_quote": 400}, {"base_held": Decimal("0.01")}),
    ],
)
def test_what_is_just_within_a_limit_is_bought(limits: dict[str, Any], facts: dict[str, Any]) -> None:
    assert isinstance(assessed(BUY_100, limits=limits, **facts), SizedOrder)


def test_a_purchase_of_all_that_is_left_is_made_as_small_as_the_limits_allow() -> None:
    order = assessed(BUY, limits={"largest_order_quote": 50})
    assert isinstance(order, SizedOrder)
    assert Decimal(49) < order.volume * 30000 <= 50
    room = assessed(BUY, limits={"largest_position_quote": 400}, base_held=Decimal("0.01"))
    assert isinstance(room, SizedOrder)
    assert room.volume * 30000 <= 100
    full = assessed(BUY, limits={"largest_position_quote": 300}, base_held=Decimal("0.01"))
    assert figures_of(full) == ("largest_position", Figures(Decimal(300), Decimal(300), "quote"))


@given(
    price=st.decimals(min_value=0, max_value=10**6, places=1),
    close=st.decimals(min_value=Decimal("0.1"), max_value=10**6, places=1),
    order=st.none() | st.decimals(min_value=1, max_value=2000, places=2),
    position=st.none() | st.decimals(min_value=1, max_value=2000, places=2),
    held=st.decimals(min_value=0, max_value=1, places=8),
)
def test_no_purchase_is_beyond_any_limit(
    *, price: Decimal, close: Decimal, order: Decimal | None, position: Decimal | None, held: Decimal
) -> None:
    limits = {"largest_order_quote": order, "largest_position_quote": position}
    result = assessed(BUY, limits=limits, at=ticker(price), last_close=close, base_held=held)
    if isinstance(result, SizedOrder):
        cost = result.volume * price
        assert abs(price / close - 1) <= Decimal("0.1")
        assert order is None or cost <= order
        assert position is None or held * price + cost <= position


@given(
    price=st.decimals(min_value=1, max_value=10**6, places=1),
    facts=st.fixed_dictionaries(
        {
            "data_age_seconds": st.decimals(min_value=0, max_value=10**6, places=1),
            "purchases_last_minute": st.integers(0, 10**4),
            "daily_loss": st.decimals(min_value=0, max_value=10**6, places=2),
            "drawdown": st.decimals(min_value=0, max_value=10**6, places=2),
            "base_held": st.decimals(min_value=0, max_value=10**6, places=2),
        }
    ),
)
def test_no_loss_size_or_rate_keeps_a_bot_in_its_position(price: Decimal, facts: dict[str, Any]) -> None:
    result = assessed(SELL, at=ticker(price), last_close=price, **facts)
    assert isinstance(result, SizedOrder) or result.code == "below_minimum"
