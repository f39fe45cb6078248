"""Profit at average cost: worked examples, and what holds whatever is traded."""

from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.bots.position_pnl import ZERO, Book, Fill, book_of
from apps.core.terms import Side


def fill(side: str, volume: str, cost: str, fee: str = "0") -> Fill:
    return Fill(side=Side(side), volume=Decimal(volume), cost=Decimal(cost), fee=Decimal(fee))


def test_buying_costs_its_price_and_fee_and_realises_nothing() -> None:
    book = book_of([fill("buy", "2", "200", "0.52")])

    assert book == Book(
        trades=1,
        position_volume=Decimal(2),
        position_cost=Decimal("200.52"),
        quote_flow=Decimal("-200.52"),
        realised_pnl=ZERO,
        fees=Decimal("0.52"),
    )
    assert book.average_price == Decimal("100.26")


def test_selling_part_realises_against_the_average_cost_of_all_purchases() -> None:
    book = book_of([fill("buy", "1", "100"), fill("buy", "1", "200"), fill("sell", "1", "250", "1")])

    assert book.realised_pnl == Decimal(99)
    assert (book.position_volume, book.position_cost) == (Decimal(1), Decimal(150))


def test_selling_all_at_a_loss_leaves_an_empty_position() -> None:
    book = book_of([fill("buy", "3", "100", "0.1"), fill("sell", "3", "90", "0.1")])

    assert book.realised_pnl == Decimal("-10.2")
    assert (book.position_volume, book.position_cost, book.average_price) == (ZERO, ZERO, None)


def test_selling_what_was_never_bought_cost_nothing() -> None:
    book = book_of([fill("buy", "1", "100"), fill("sell", "2", "210")])

    assert book.realised_pnl == Decimal(110)
    assert book.position_volume == ZERO


def test_an_uneven_share_of_the_cost_is_rounded_to_what_is_stored() -> None:
    book = book_of([fill("buy", "3", "100"), fill("sell", "1", "40")])

    assert book.position_cost == Decimal("66.6666666667")
    assert book.realised_pnl == Decimal("6.6666666667")


amounts = st.decimals(min_value="0.00000001", max_value="100000000", places=8)
fills = st.lists(
    st.builds(Fill, side=st.sampled_from(["buy", "sell"]), volume=amounts, cost=amounts, fee=amounts), max_size=30
)


@given(fills)
def test_profit_is_what_came_in_plus_what_is_still_held_at_cost(story: list[Any]) -> None:
    book = book_of(story)

    assert book.quote_flow + book.position_cost == book.realised_pnl
    assert book.position_volume >= 0
    assert book.position_cost >= 0
    assert book.fees == sum(fill.fee for fill in story)


@given(fills)
def test_nothing_is_lost_to_rounding_beyond_ten_decimals(story: list[Any]) -> None:
    book = book_of(story)

    for amount in (book.position_volume, book.position_cost, book.quote_flow, book.realised_pnl, book.fees):
        exponent = amount.as_tuple().exponent
        assert isinstance(exponent, int)
        assert exponent >= -10


def test_value_at_a_price_is_before_fees() -> None:
    assert book_of([fill("buy", "0.5", "5000")]).value_at(Decimal(12000)) == Decimal(6000)


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_fill_changes_no_earlier_book(side: Literal["buy", "sell"]) -> None:
    before = Book()
    before.after(fill(side, "1", "1"))

    assert before == Book()
