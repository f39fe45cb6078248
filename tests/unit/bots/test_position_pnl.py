"""Position P&L at average cost: worked examples and invariants."""

from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.bots.position_pnl import ZERO, Fill, PositionPnl, position_pnl_of
from apps.core.terms import Side


def fill(side: str, volume: str, cost: str, fee: str = "0") -> Fill:
    return Fill(side=Side(side), volume=Decimal(volume), cost=Decimal(cost), fee=Decimal(fee))


def test_buying_costs_its_price_and_fee_and_realises_nothing() -> None:
    pnl = position_pnl_of([fill("buy", "2", "200", "0.52")])

    assert pnl == PositionPnl(
        trades=1,
        position_volume=Decimal(2),
        position_cost=Decimal("200.52"),
        quote_flow=Decimal("-200.52"),
        realised_pnl=ZERO,
        fees=Decimal("0.52"),
    )
    assert pnl.average_price == Decimal("100.26")


def test_selling_part_realises_against_the_average_cost_of_all_purchases() -> None:
    pnl = position_pnl_of([fill("buy", "1", "100"), fill("buy", "1", "200"), fill("sell", "1", "250", "1")])

    assert pnl.realised_pnl == Decimal(99)
    assert (pnl.position_volume, pnl.position_cost) == (Decimal(1), Decimal(150))


def test_selling_all_at_a_loss_leaves_an_empty_position() -> None:
    pnl = position_pnl_of([fill("buy", "3", "100", "0.1"), fill("sell", "3", "90", "0.1")])

    assert pnl.realised_pnl == Decimal("-10.2")
    assert (pnl.position_volume, pnl.position_cost, pnl.average_price) == (ZERO, ZERO, None)


def test_selling_what_was_never_bought_cost_nothing() -> None:
    pnl = position_pnl_of([fill("buy", "1", "100"), fill("sell", "2", "210")])

    assert pnl.realised_pnl == Decimal(110)
    assert pnl.position_volume == ZERO


def test_an_uneven_share_of_the_cost_is_rounded_to_what_is_stored() -> None:
    pnl = position_pnl_of([fill("buy", "3", "100"), fill("sell", "1", "40")])

    assert pnl.position_cost == Decimal("66.6666666667")
    assert pnl.realised_pnl == Decimal("6.6666666667")


amounts = st.decimals(min_value="0.00000001", max_value="100000000", places=8)
fills = st.lists(
    st.builds(Fill, side=st.sampled_from(["buy", "sell"]), volume=amounts, cost=amounts, fee=amounts), max_size=30
)


@given(fills)
def test_profit_is_what_came_in_plus_what_is_still_held_at_cost(story: list[Any]) -> None:
    pnl = position_pnl_of(story)

    assert pnl.quote_flow + pnl.position_cost == pnl.realised_pnl
    assert pnl.position_volume >= 0
    assert pnl.position_cost >= 0
    assert pnl.fees == sum(fill.fee for fill in story)


@given(fills)
def test_nothing_is_lost_to_rounding_beyond_ten_decimals(story: list[Any]) -> None:
    pnl = position_pnl_of(story)

    for amount in (pnl.position_volume, pnl.position_cost, pnl.quote_flow, pnl.realised_pnl, pnl.fees):
        exponent = amount.as_tuple().exponent
        assert isinstance(exponent, int)
        assert exponent >= -10


def test_value_at_a_price_is_before_fees() -> None:
    assert position_pnl_of([fill("buy", "0.5", "5000")]).value_at(Decimal(12000)) == Decimal(6000)


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_fill_changes_no_earlier_book(side: Literal["buy", "sell"]) -> None:
    before = PositionPnl()
    before.after(fill(side, "1", "1"))

    assert before == PositionPnl()
