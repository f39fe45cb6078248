"""Holds always cover what an order may still cost; postings move exactly what the fill says."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from apps.paper.engine.ledger import Posting, postings_of
from apps.paper.engine.money import fixed, rounded, rounded_up
from apps.paper.engine.orders import Fill, Liquidity, OrderType, Side, Status
from tests.unit.paper.builders import COIN, START, order

lots = st.integers(1, 10 * COIN)
ticks = st.integers(1, 2_000_000)


@given(limit=ticks, parts=st.lists(st.tuples(lots, ticks, st.sampled_from(Liquidity)), min_size=1, max_size=12))
def test_a_buy_never_costs_more_than_it_holds(limit: int, parts: list[tuple[int, int, Liquidity]]) -> None:
    volume = Decimal(sum(part[0] for part in parts)).scaleb(-8)
    subject = order(volume=volume, limit=Decimal(limit).scaleb(-1))
    balance = subject.held

    for size, price, liquidity in parts:
        at = Decimal(min(price, limit)).scaleb(-1)
        fill = subject.fill(price=at, volume=Decimal(size).scaleb(-8), liquidity=liquidity, at=START)
        balance -= fill.cost + fill.fee
        assert balance >= subject.held >= 0

    assert subject.status is Status.CLOSED
    assert subject.held == 0


def test_a_hold_is_the_limit_times_the_rest_and_the_taker_fee_on_it_rounded_up() -> None:
    subject = order(volume=Decimal("0.12345678"), limit=Decimal("1000.1"))

    assert subject.held == rounded_up(Decimal("0.12345678") * Decimal("1000.1"), 5) + Decimal("0.49388")


def test_a_sell_holds_its_rest() -> None:
    subject = order(side=Side.SELL, volume=Decimal(2))

    subject.fill(price=Decimal(1000), volume=Decimal("0.5"), liquidity=Liquidity.MAKER, at=START)

    assert subject.held == Decimal("1.5")


def test_a_market_order_and_an_ended_one_hold_nothing() -> None:
    ended = order()
    ended.end(Status.CANCELED, reason=None, at=START)

    assert ended.held == 0
    assert order(kind=OrderType.MARKET, limit=None).held == 0


@given(parts=st.lists(st.tuples(lots, ticks), min_size=1, max_size=20))
def test_the_trades_of_an_order_add_up_to_its_rounded_totals(parts: list[tuple[int, int]]) -> None:
    subject = order(volume=Decimal(sum(size for size, _ in parts)).scaleb(-8), limit=Decimal(200_000))

    fills = [
        subject.fill(
            price=Decimal(price).scaleb(-1), volume=Decimal(size).scaleb(-8), liquidity=Liquidity.TAKER, at=START
        )
        for size, price in parts
    ]

    exact = sum((Decimal(price).scaleb(-1) * Decimal(size).scaleb(-8) for size, price in parts), Decimal(0))
    assert sum(fill.cost for fill in fills) == subject.cost == rounded(exact, 5)
    assert sum(fill.fee for fill in fills) == subject.fee == rounded(exact * Decimal("0.004"), 5)
    assert all(fill.cost >= 0 and fill.fee >= 0 for fill in fills)


def _fill(side: Side) -> Fill:
    subject = order(side=side, volume=Decimal("0.5"))
    return subject.fill(price=Decimal("1000"), volume=Decimal("0.5"), liquidity=Liquidity.TAKER, at=START)


def test_a_buy_gives_quote_and_fee_and_gets_base() -> None:
    assert postings_of(_fill(Side.BUY)) == (
        Posting("ZUSD", Decimal(-500), Decimal(2)),
        Posting("XXBT", Decimal("0.5"), Decimal(0)),
    )


def test_a_sell_gives_base_and_gets_quote_less_the_fee() -> None:
    given_, got = postings_of(_fill(Side.SELL))

    assert given_ == Posting("XXBT", Decimal("-0.5"), Decimal(0))
    assert (got, got.change) == (Posting("ZUSD", Decimal(500), Decimal(2)), Decimal(498))


def test_shown_amounts_are_cut_never_rounded_up() -> None:
    assert fixed(Decimal("1.99999"), 4) == "1.9999"
    assert fixed(Decimal("-1.99999"), 4) == "-1.9999"
    assert fixed(Decimal("1E-8"), 8) == "0.00000001"
    assert fixed(Decimal("1E+5"), 2) == "100000.00"
