"""How much of an account a bot may be given."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.exchange.types import Balance
from apps.risk.budgets import cover_of, refuse_beyond
from apps.risk.errors import BudgetExceedsAccount

D = Decimal

amounts = st.decimals(min_value=0, max_value=10**9, places=4, allow_nan=False, allow_infinity=False)


def test_the_refusal_has_the_figures() -> None:
    cover = cover_of(Balance("ZUSD", D(10000), held=D(700)), asset="ZUSD", allocated=D(9000), reserved=D(500))
    with pytest.raises(BudgetExceedsAccount) as refusal:
        refuse_beyond(cover, asked=D(1000))
    assert refusal.value.details == {
        "asset": "ZUSD",
        "asked": "1000",
        "balance": "10000",
        "allocated": "9000",
        "held_by_other_orders": "200",
        "unallocated": "800",
    }


def test_an_asset_that_the_account_does_not_have_covers_nothing() -> None:
    with pytest.raises(BudgetExceedsAccount):
        refuse_beyond(cover_of(None, asset="ZUSD", allocated=D(0), reserved=D(0)), asked=D(1))


def test_the_exchanges_rounding_does_not_refuse_what_is_left() -> None:
    cover = cover_of(Balance("ZUSD", D("4979.9999")), asset="ZUSD", allocated=D(0), reserved=D(0))
    refuse_beyond(cover, asked=D(4980))


@given(balance=amounts, budgets=st.lists(amounts, max_size=6), reserved=amounts, held=amounts)
def test_budgets_that_are_given_never_exceed_the_balance(balance: D, budgets: list[D], reserved: D, held: D) -> None:
    given_away = D(0)
    for budget in budgets:
        cover = cover_of(Balance("ZUSD", balance, held), asset="ZUSD", allocated=given_away, reserved=reserved)
        try:
            refuse_beyond(cover, asked=budget)
        except BudgetExceedsAccount:
            continue
        given_away += budget
    assert given_away <= balance * D("1.0001")
