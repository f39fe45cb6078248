from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apps.paper.engine.orders import Fill, Liquidity, Side, Status, WorkingOrder
from apps.paper.engine.settlement import PARTICIPATION, settle
from apps.paper.market.path import STEPS, volume_at
from apps.paper.market.replay import Replay
from tests.unit.paper.builders import COIN, START, Row, flat, order, replay

# Falls from 1000.0 to 980.0 and recovers: the low is at step 10 of the second candle.
DIP = replay([flat(10_000), (10_000, 10_000, 9_800, 10_000, 300 * COIN, 60), flat(10_000)])
SHARE = Decimal(300 * COIN // STEPS // PARTICIPATION).scaleb(-8)  # of a step: one bitcoin


def _settle(
    orders: list[WorkingOrder], market: Replay = DIP, *, after: int = 0, through: int | None = None
) -> list[Fill]:
    through = market.last_step if through is None else through
    return settle(orders, market, after_step=after, through_step=through, now=market.time_of(through))


def test_a_buy_fills_at_its_limit_when_the_market_trades_below() -> None:
    subject = order(volume=Decimal("0.5"), limit=Decimal("990"))

    fills = _settle([subject])

    assert [(fill.price, fill.volume, fill.liquidity) for fill in fills] == [
        (Decimal(990), Decimal("0.5"), Liquidity.MAKER)
    ]
    assert fills[0].at == DIP.time_of(STEPS + 6)  # 9 880 is the first price below 9 900
    assert subject.status is Status.CLOSED
    assert (subject.cost, subject.fee) == (Decimal("495.00000"), Decimal("1.23750"))


def test_a_touch_does_not_fill() -> None:
    at_the_low = order(limit=Decimal("980"))
    above_the_high = order(side=Side.SELL, limit=Decimal("1000"))

    assert _settle([at_the_low, above_the_high]) == []


def test_a_sell_fills_when_the_market_trades_above() -> None:
    spike = replay([flat(10_000), (10_000, 10_300, 9_990, 10_000, 300 * COIN, 60)])
    subject = order(side=Side.SELL, limit=Decimal("1020"))

    fills = _settle([subject], spike)

    assert [(fill.price, fill.volume) for fill in fills] == [(Decimal(1020), Decimal(1))]


def test_resting_orders_get_a_tenth_of_what_the_market_trades() -> None:
    subject = order(volume=Decimal(50), limit=Decimal("999.9"))

    fills = _settle([subject])

    traded_through = [step for step in range(STEPS, 2 * STEPS) if DIP.price_at(step) < 9_999]
    assert [fill.volume for fill in fills] == [SHARE] * len(traded_through)
    assert subject.status is Status.OPEN
    assert subject.filled == SHARE * len(traded_through)


def test_the_best_price_comes_first_then_the_oldest() -> None:
    worst = order(number=1, limit=Decimal("998"), queued_at=START)
    late = order(number=2, limit=Decimal("999"), queued_at=START + timedelta(seconds=1))
    early = order(number=3, limit=Decimal("999"), queued_at=START)

    fills = _settle([worst, late, early], through=STEPS + 2)

    assert [fill.order.number for fill in fills] == [3, 2]
    assert worst.filled == 0


def test_buys_and_sells_do_not_share_their_part() -> None:
    buy = order(number=1, limit=Decimal("1010"))
    sell = order(number=2, side=Side.SELL, limit=Decimal("970"))

    fills = _settle([buy, sell], replay([flat(10_000)] * 2), through=1)

    assert sorted(fill.order.number for fill in fills) == [1, 2]


def test_steps_before_the_order_came_do_not_fill_it() -> None:
    subject = order(limit=Decimal("990"))

    assert _settle([subject], after=STEPS + 20) == []


def test_an_expired_order_ends_at_its_time_with_what_it_has() -> None:
    ends_at = DIP.time_of(STEPS + 8)
    subject = order(volume=Decimal(50), limit=Decimal("990"), ends_at=ends_at)

    fills = _settle([subject])

    assert [fill.at for fill in fills] == [DIP.time_of(STEPS + 6), DIP.time_of(STEPS + 7)]
    assert (subject.status, subject.closed_at) == (Status.EXPIRED, ends_at)
    assert subject.held == 0


def test_an_order_ends_also_when_the_market_has_ended() -> None:
    subject = order(limit=Decimal("1"), ends_at=DIP.ends_at + timedelta(days=1))

    settle([subject], DIP, after_step=DIP.last_step, through_step=DIP.last_step, now=DIP.ends_at + timedelta(days=2))

    assert subject.status is Status.EXPIRED


prices = st.integers(9_700, 10_300)


@st.composite
def candles(draw: st.DrawFn) -> Row:
    points = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
    open_, close = draw(st.permutations(points[1:3]))
    return (open_, points[3], points[0], close, draw(st.integers(0, 40 * COIN)), 10)


orders = st.lists(
    st.fixed_dictionaries(
        {
            "side": st.sampled_from(Side),
            "limit": prices.map(lambda ticks: Decimal(ticks).scaleb(-1)),
            "volume": st.integers(1, 5 * COIN).map(lambda lots: Decimal(lots).scaleb(-8)),
            "queued_at": st.integers(0, 3).map(lambda seconds: START + timedelta(seconds=seconds)),
            "ends_at": st.none() | st.integers(1, 4 * STEPS).map(lambda seconds: START + timedelta(seconds=seconds)),
        }
    ),
    min_size=1,
    max_size=6,
)
markets = st.lists(candles(), min_size=2, max_size=4).map(replay)


def _facts(fills: list[Fill]) -> list[tuple[Any, ...]]:
    return [(fill.order.number, fill.price, fill.volume, fill.cost, fill.fee, fill.at) for fill in fills]


@given(market=markets, terms=orders, cuts=st.sets(st.integers(1, 4 * STEPS), max_size=8))
def test_the_outcome_does_not_depend_on_how_often_it_is_settled(
    market: Replay, terms: list[dict[str, Any]], cuts: set[int]
) -> None:
    at_once = [order(number=number, **each) for number, each in enumerate(terms)]
    in_parts = [order(number=number, **each) for number, each in enumerate(terms)]

    whole = _settle(at_once, market)
    stops = [0, *sorted(cut for cut in cuts if cut < market.last_step), market.last_step]
    parts = [
        fill for after, through in pairwise(stops) for fill in _settle(in_parts, market, after=after, through=through)
    ]

    assert _facts(parts) == _facts(whole)
    assert [(o.status, o.closed_at, o.held) for o in in_parts] == [(o.status, o.closed_at, o.held) for o in at_once]


@given(market=markets, terms=orders)
def test_fills_keep_to_limit_volume_and_share(market: Replay, terms: list[dict[str, Any]]) -> None:
    resting = [order(number=number, **each) for number, each in enumerate(terms)]

    fills = _settle(resting, market)

    assert [fill.at for fill in fills] == sorted(fill.at for fill in fills)
    for each in resting:
        assert each.filled <= each.volume
        assert each.cost == sum((fill.cost for fill in fills if fill.order is each), Decimal(0))
        assert each.fee == sum((fill.fee for fill in fills if fill.order is each), Decimal(0))
    for step in range(market.last_step + 1):
        share = Decimal(volume_at(market.candle_of(step), step % STEPS) // PARTICIPATION).scaleb(-8)
        for side in Side:
            here = [fill for fill in fills if fill.at == market.time_of(step) and fill.order.side is side]
            assert sum(fill.volume for fill in here) <= share
            price = market.price_at(step)
            assert all(
                price < fill.order.limit_ticks if side is Side.BUY else price > fill.order.limit_ticks for fill in here
            )
