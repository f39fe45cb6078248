"""What strategies want, from candles alone."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.core.terms import Side
from apps.strategies.base import InvalidParameters, OrderPlan, Snapshot, UnknownStrategy
from apps.strategies.registry import strategy_get
from tests.factories.trading import FALLING, FIRST_CANDLE, RISING, candles

FLAT = [Decimal(20000)] * 30
SMA = {"fast": 3, "slow": 8}


def decide(name: str, parameters: dict[str, Any], closes: Sequence[Decimal | int], **facts: Any) -> list[OrderPlan]:
    snapshot = Snapshot(
        candles=candles(closes),
        **({"base_volume": Decimal(0), "minimum_volume": Decimal("0.00005")} | facts),
    )
    return strategy_get(name).read(parameters).decide(snapshot)


def sides(plans: list[OrderPlan]) -> list[Side]:
    return [plan.side for plan in plans]


def test_an_unknown_strategy_is_refused_by_name() -> None:
    with pytest.raises(UnknownStrategy, match="'no_such_strategy'"):
        strategy_get("no_such_strategy")


def test_parameters_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidParameters, match="fast"):
        decide("sma_cross", {"fast": 0, "slow": 8}, RISING)


class TestSmaCross:
    def test_it_buys_all_it_may_at_once_where_the_fast_average_is_above_already(self) -> None:
        [plan] = decide("sma_cross", SMA, RISING)
        assert (plan.side, plan.quote_amount, plan.limit_price) == (Side.BUY, None, None)

    def test_without_enter_on_start_it_waits_for_a_crossing(self) -> None:
        assert decide("sma_cross", SMA | {"enter_on_start": False}, RISING) == []

    def test_without_enter_on_start_it_buys_on_the_crossing_candle(self) -> None:
        closes = [*FALLING[:20], *[Decimal(40000)]]
        assert sides(decide("sma_cross", SMA | {"enter_on_start": False}, closes)) == [Side.BUY]

    def test_it_does_not_buy_what_it_holds(self) -> None:
        assert decide("sma_cross", SMA, RISING, base_volume=Decimal("0.1")) == []

    def test_it_sells_all_where_the_fast_average_is_below(self) -> None:
        [plan] = decide("sma_cross", SMA, FALLING, base_volume=Decimal("0.1"))
        assert (plan.side, plan.base_volume) == (Side.SELL, None)

    def test_it_sells_nothing_where_it_holds_nothing(self) -> None:
        assert decide("sma_cross", SMA, FALLING) == []

    def test_equal_averages_are_not_above(self) -> None:
        assert decide("sma_cross", SMA, FLAT) == []
        assert sides(decide("sma_cross", SMA, FLAT, base_volume=Decimal(1))) == [Side.SELL]

    def test_dust_below_the_exchanges_minimum_counts_as_nothing(self) -> None:
        assert sides(decide("sma_cross", SMA, RISING, base_volume=Decimal("0.00001"))) == [Side.BUY]
        assert decide("sma_cross", SMA, FALLING, base_volume=Decimal("0.00001")) == []

    def test_too_few_candles_decide_nothing(self) -> None:
        assert decide("sma_cross", SMA, RISING[:8]) == []
        assert sides(decide("sma_cross", SMA, RISING[:9])) == [Side.BUY]

    def test_the_averages_are_compared_exactly(self) -> None:
        """1/3 has no end: an average that was divided out would differ where none differs."""
        closes = [Decimal(1)] * 5 + [Decimal("0.1"), Decimal("0.2"), Decimal("0.3"), Decimal("0.2")] * 2
        assert decide("sma_cross", {"fast": 4, "slow": 8}, closes) == []


def hour(number: int) -> datetime:
    return FIRST_CANDLE + timedelta(hours=number)


class TestDca:
    parameters = {"every_candles": 6, "quote_amount": "50"}

    def test_the_first_decision_buys_for_the_amount(self) -> None:
        [plan] = decide("dca", self.parameters, FALLING)
        assert (plan.side, plan.quote_amount) == (Side.BUY, Decimal(50))

    def test_it_waits_for_as_many_candles_as_it_was_told(self) -> None:
        assert decide("dca", self.parameters, FALLING, last_buy_at=hour(24)) == []
        assert sides(decide("dca", self.parameters, FALLING, last_buy_at=hour(23))) == [Side.BUY]

    def test_it_buys_early_where_a_person_asks(self) -> None:
        [plan] = decide("dca", self.parameters, FALLING, last_buy_at=hour(29), is_asked=True)
        assert plan.reason == "asked for"

    def test_a_purchase_in_the_future_of_a_market_that_began_again_does_not_count(self) -> None:
        assert sides(decide("dca", self.parameters, FALLING, last_buy_at=hour(1000))) == [Side.BUY]


class TestBreakout:
    parameters = {"window": 5}

    def test_it_buys_above_the_highest_high_of_the_window(self) -> None:
        assert sides(decide("breakout", self.parameters, [*FLAT, 20051])) == [Side.BUY]

    def test_the_highest_high_itself_is_not_above(self) -> None:
        assert decide("breakout", self.parameters, [*FLAT, 20050]) == []

    def test_highs_before_the_window_do_not_count(self) -> None:
        assert sides(decide("breakout", self.parameters, [90000, *FLAT[:5], 20051])) == [Side.BUY]
        assert decide("breakout", self.parameters, [90000, *FLAT[:4], 20051]) == []

    def test_it_sells_below_the_lowest_low(self) -> None:
        held = Decimal("0.1")
        assert sides(decide("breakout", self.parameters, [*FLAT, 19949], base_volume=held)) == [Side.SELL]
        assert decide("breakout", self.parameters, [*FLAT, 19950], base_volume=held) == []

    def test_too_few_candles_decide_nothing(self) -> None:
        assert decide("breakout", self.parameters, [*FLAT[:4], 90000]) == []
