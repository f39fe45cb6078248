"""What a fill moves between a bot's books."""

from collections import defaultdict
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from apps.trading.ledger import postings_of
from apps.trading.models.ledger import LedgerAccount

amounts = st.decimals(min_value=0, max_value=10**9, places=8, allow_nan=False, allow_infinity=False)
volumes = st.decimals(min_value=Decimal("0.00000001"), max_value=10**6, places=8, allow_nan=False)


@given(side=st.sampled_from(["buy", "sell"]), volume=volumes, cost=amounts, fee=amounts)
def test_the_postings_of_a_fill_add_up_to_zero_in_each_asset(
    side: str, volume: Decimal, cost: Decimal, fee: Decimal
) -> None:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for posting in postings_of(side=side, volume=volume, cost=cost, fee=fee, base_asset="XXBT", quote_asset="ZUSD"):
        sums[posting.asset] += posting.amount
    assert set(sums.values()) <= {Decimal(0)}


def test_a_purchase_takes_cost_and_fee_from_cash_and_brings_the_volume() -> None:
    books = {
        (posting.account, posting.asset): posting.amount
        for posting in postings_of(
            side="buy", volume=Decimal(2), cost=Decimal(100), fee=Decimal(1), base_asset="XXBT", quote_asset="ZUSD"
        )
    }
    assert books == {
        (LedgerAccount.POSITION, "XXBT"): Decimal(2),
        (LedgerAccount.MARKET, "XXBT"): Decimal(-2),
        (LedgerAccount.CASH, "ZUSD"): Decimal(-101),
        (LedgerAccount.MARKET, "ZUSD"): Decimal(100),
        (LedgerAccount.FEES, "ZUSD"): Decimal(1),
    }


def test_a_sale_brings_the_cost_less_the_fee() -> None:
    books = {
        (posting.account, posting.asset): posting.amount
        for posting in postings_of(
            side="sell", volume=Decimal(2), cost=Decimal(100), fee=Decimal(1), base_asset="XXBT", quote_asset="ZUSD"
        )
    }
    assert books[LedgerAccount.CASH, "ZUSD"] == Decimal(99)
    assert books[LedgerAccount.POSITION, "XXBT"] == Decimal(-2)


def test_nothing_is_posted_for_a_fee_of_zero() -> None:
    postings = postings_of(
        side="buy", volume=Decimal(1), cost=Decimal(1), fee=Decimal(0), base_asset="XXBT", quote_asset="ZUSD"
    )
    assert LedgerAccount.FEES not in {posting.account for posting in postings}
