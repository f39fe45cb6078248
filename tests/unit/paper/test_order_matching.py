from datetime import timedelta
from decimal import Decimal

import pytest

from apps.paper.engine.order_matching import CancelReason, match_order
from apps.paper.engine.orders import Fill, Liquidity, OrderType, Side, Status, TimeInForce, WorkingOrder
from apps.paper.market.depth import Level, OrderBook
from tests.unit.paper.builders import COIN, START, order

LATER = START + timedelta(seconds=1)
BOOK = OrderBook(
    asks=(Level(10_001, COIN), Level(10_003, 2 * COIN)),
    bids=(Level(9_999, COIN), Level(9_997, 2 * COIN)),
)


def _match(
    subject: WorkingOrder, *, time_in_force: TimeInForce = TimeInForce.GTC, post_only: bool = False
) -> list[Fill]:
    return match_order(subject, BOOK, time_in_force=time_in_force, post_only=post_only, at=LATER)


def _market(side: Side, volume: str) -> WorkingOrder:
    return order(kind=OrderType.MARKET, side=side, volume=Decimal(volume), limit=None, status=Status.PENDING)


def test_a_market_order_walks_the_levels() -> None:
    subject = _market(Side.BUY, "1.5")

    fills = _match(subject)

    assert [(str(fill.price), str(fill.volume)) for fill in fills] == [
        ("1000.1", "1.00000000"),
        ("1000.3", "0.50000000"),
    ]
    assert {fill.liquidity for fill in fills} == {Liquidity.TAKER}
    assert (subject.status, subject.closed_at) == (Status.CLOSED, LATER)
    assert subject.cost == Decimal("1500.25000")
    assert subject.fee == Decimal("6.00100")


def test_a_market_order_beyond_the_book_is_canceled_with_what_it_got() -> None:
    subject = _market(Side.SELL, "5")

    fills = _match(subject)

    assert sum(fill.volume for fill in fills) == 3
    assert (subject.status, subject.reason) == (Status.CANCELED, CancelReason.NO_LIQUIDITY)
    assert subject.held == 0


def test_a_marketable_limit_order_takes_what_its_limit_reaches_and_rests_with_the_remainder() -> None:
    subject = order(volume=Decimal(2), limit=Decimal("1000.2"), status=Status.PENDING)

    fills = _match(subject)

    assert [fill.volume for fill in fills] == [Decimal(1)]
    assert (subject.status, subject.remaining) == (Status.OPEN, Decimal(1))


def test_a_limit_order_away_from_the_market_rests_whole() -> None:
    subject = order(limit=Decimal("999.9"), status=Status.PENDING)

    assert _match(subject) == []
    assert subject.status is Status.OPEN


def test_an_ioc_order_keeps_what_it_got_and_cancels_the_rest() -> None:
    subject = order(volume=Decimal(2), limit=Decimal("1000.2"), status=Status.PENDING)

    fills = _match(subject, time_in_force=TimeInForce.IOC)

    assert len(fills) == 1
    assert (subject.status, subject.filled) == (Status.CANCELED, Decimal(1))


@pytest.mark.parametrize(("volume", "status", "filled"), [(3, Status.CLOSED, 3), (4, Status.CANCELED, 0)])
def test_a_fok_order_fills_whole_or_not_at_all(volume: int, status: Status, filled: int) -> None:
    subject = order(volume=Decimal(volume), limit=Decimal("1000.3"), status=Status.PENDING)

    _match(subject, time_in_force=TimeInForce.FOK)

    assert (subject.status, subject.filled) == (status, Decimal(filled))


@pytest.mark.parametrize(
    ("side", "limit", "status"),
    [
        (Side.BUY, "1000.1", Status.CANCELED),
        (Side.BUY, "1000.0", Status.OPEN),
        (Side.SELL, "999.9", Status.CANCELED),
        (Side.SELL, "1000.0", Status.OPEN),
    ],
)
def test_a_post_only_order_never_takes(side: Side, limit: str, status: Status) -> None:
    subject = order(side=side, limit=Decimal(limit), status=Status.PENDING)

    assert _match(subject, post_only=True) == []
    assert subject.status is status
    assert subject.reason == (CancelReason.POST_ONLY if status is Status.CANCELED else None)
