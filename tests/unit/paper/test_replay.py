from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.paper.market import path as price_path
from apps.paper.market.candles import Candle
from apps.paper.market.path import STEPS
from apps.paper.market.replay import ReplayClock
from tests.unit.paper.builders import START, flat, replay

RISING = Candle(0, open=1000, high=1300, low=900, close=1200, volume=3001, trades=61)
FALLING = Candle(0, open=1200, high=1300, low=900, close=1000, volume=3001, trades=61)


@given(
    step=st.integers(0, 10**7),
    start_step=st.integers(0, 10**6),
    candle_seconds=st.floats(0.001, 100_000),
)
def test_the_first_moment_of_a_step_is_in_that_step_and_the_one_before_is_not(
    step: int, start_step: int, candle_seconds: float
) -> None:
    clock = ReplayClock(START, start_step, candle_seconds)
    step += start_step

    assert clock.step_at(clock.time_of(step)) == step
    if step > start_step:
        assert clock.step_at(clock.time_of(step) - timedelta(microseconds=1)) == step - 1


def test_a_candle_lasts_candle_seconds() -> None:
    clock = ReplayClock(START, 720 * STEPS, 0.5)

    assert clock.step_at(START + timedelta(seconds=10)) == 740 * STEPS


def test_a_clock_before_the_start_reads_as_the_start() -> None:
    assert ReplayClock(START, 60, 1.0).step_at(START - timedelta(days=1)) == 60


def test_the_market_ends_with_its_last_candle_and_stays_there() -> None:
    market = replay([flat(1000), flat(1100)])
    end = START + timedelta(seconds=60)

    assert market.ends_at == end
    assert not market.has_ended(end - timedelta(microseconds=1))
    assert market.has_ended(end)
    assert market.step_at(end + timedelta(days=9)) == market.last_step == 2 * STEPS - 1
    assert market.price_at(market.last_step) == 1100


@pytest.mark.parametrize(("candle", "turns"), [(RISING, [1000, 900, 1300, 1200]), (FALLING, [1200, 1300, 900, 1000])])
def test_the_path_goes_by_way_of_both_extremes_the_near_one_first(candle: Candle, turns: list[int]) -> None:
    assert [price_path.price_at(candle, step) for step in (0, 10, 20, 29)] == turns


def test_the_path_stays_within_the_candle() -> None:
    prices = [price_path.price_at(RISING, step) for step in range(STEPS)]

    assert (min(prices), max(prices)) == (RISING.low, RISING.high)


def test_steps_share_the_volume_without_loss() -> None:
    assert sum(price_path.volume_at(RISING, step) for step in range(STEPS)) == RISING.volume
    assert price_path.trades_through(RISING, STEPS - 1) == RISING.trades


def test_at_its_last_step_the_forming_candle_is_the_whole_one() -> None:
    assert price_path.forming(RISING, STEPS - 1) == RISING


@pytest.mark.parametrize("step", range(10))
def test_the_forming_candle_knows_nothing_of_what_comes(step: int) -> None:
    forming = price_path.forming(RISING, step)

    assert forming.high == RISING.open
    assert forming.low == forming.close == price_path.price_at(RISING, step)
    assert forming.volume == RISING.volume * (step + 1) // STEPS


def test_averages_lie_within_what_was_seen() -> None:
    assert price_path.average_price(RISING) == (1000 + 2 * 900 + 2 * 1300 + 1200) // 6
    assert price_path.average_price(RISING, 0) == 1000
    assert RISING.low <= price_path.average_price(RISING, 15) <= RISING.high


def test_seen_candles_end_with_the_forming_one() -> None:
    market = replay([flat(1000), (1000, 1300, 900, 1200, 3000, 30), flat(5000)])

    seen = list(market.seen(0, STEPS + 5))

    assert seen[0].close == 1000
    assert seen[1].close == 950
    assert len(seen) == 2
