"""What the exchange would refuse is refused before it is asked."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.exchange.errors import OrderNotPlaceable
from apps.exchange.types import OrderRequest
from tests.factories.exchange import OrderRequestFactory, market_order
from tests.factories.fake_account import XBTUSD

D = Decimal


def test_an_order_within_the_rules_passes() -> None:
    XBTUSD.check(OrderRequestFactory.create())
    XBTUSD.check(OrderRequestFactory.create(pair="BTC/USD"))
    XBTUSD.check(market_order(), reference_price=D(50000))


@pytest.mark.parametrize(
    ("order", "rule"),
    [
        (OrderRequestFactory.build(pair="ETHUSD"), "pair"),
        (OrderRequestFactory.build(volume=D("0.000000001")), "volume_precision"),
        (OrderRequestFactory.build(volume=D("0.001000001")), "volume_precision"),
        (OrderRequestFactory.build(volume=D(0)), "volume_precision"),
        (OrderRequestFactory.build(volume=D(-1)), "volume_precision"),
        (OrderRequestFactory.build(volume=D("0.00004999")), "order_minimum"),
        (OrderRequestFactory.build(price=D("50000.05")), "price_precision"),
        (OrderRequestFactory.build(price=D(0)), "price_precision"),
        (OrderRequestFactory.build(volume=D("0.00005"), price=D("9999.9")), "cost_minimum"),
    ],
)
def test_each_rule_is_named(order: OrderRequest, rule: str) -> None:
    with pytest.raises(OrderNotPlaceable) as caught:
        XBTUSD.check(order)
    assert caught.value.rule == rule


def test_minimums_themselves_are_enough() -> None:
    XBTUSD.check(OrderRequestFactory.create(volume=D("0.00005"), price=D(10000)))


def test_a_market_orders_worth_is_checked_at_the_reference_price() -> None:
    XBTUSD.check(market_order(volume=D("0.00005")))
    with pytest.raises(OrderNotPlaceable, match=r"at least 0\.5 ZUSD"):
        XBTUSD.check(market_order(volume=D("0.00005")), reference_price=D(9999))


def test_a_price_between_two_ticks_is_refused_even_with_few_decimals() -> None:
    coarse = replace(XBTUSD, tick_size=D("0.5"))

    with pytest.raises(OrderNotPlaceable) as caught:
        coarse.check(OrderRequestFactory.create(price=D("50000.3")))
    assert caught.value.rule == "tick_size"


@pytest.mark.parametrize(
    ("status", "order", "is_taken"),
    [
        ("online", market_order(), True),
        ("limit_only", market_order(), False),
        ("limit_only", OrderRequestFactory.build(), True),
        ("post_only", OrderRequestFactory.build(), False),
        ("post_only", OrderRequestFactory.build(post_only=True), True),
        ("cancel_only", OrderRequestFactory.build(), False),
        ("reduce_only", OrderRequestFactory.build(), False),
        ("maintenance", market_order(), False),
    ],
)
def test_a_pair_takes_orders_as_its_status_says(status: str, order: OrderRequest, is_taken: bool) -> None:
    instrument = replace(XBTUSD, status=status)
    if is_taken:
        instrument.check(order)
    else:
        with pytest.raises(OrderNotPlaceable, match=status):
            instrument.check(order)


@given(st.decimals(min_value=D("0.00000001"), max_value=D(1000), places=12))
def test_rounding_down_never_asks_for_more_and_loses_less_than_a_lot(volume: Decimal) -> None:
    floored = XBTUSD.floor_volume(volume)

    assert 0 <= volume - floored < D("0.00000001")


@given(st.decimals(min_value=D("0.1"), max_value=D(1_000_000), places=6))
def test_rounded_prices_are_on_the_grid_and_on_the_side_asked_for(price: Decimal) -> None:
    below, above = XBTUSD.floor_price(price), XBTUSD.ceil_price(price)

    assert below <= price <= above
    assert above - below <= D("0.1")
    assert below % XBTUSD.tick_size == above % XBTUSD.tick_size == 0


@pytest.mark.parametrize("client_order_id", ["", " lead", "trail ", "nineteen-characters", "täg", "x" * 40])
def test_a_client_order_id_that_kraken_would_not_take_is_refused(client_order_id: str) -> None:
    with pytest.raises(ValueError, match="client_order_id"):
        OrderRequestFactory.create(client_order_id=client_order_id)
