from datetime import timedelta

import pytest

from apps.paper.market.path import STEPS
from apps.paper.market.summaries import bars, day_windows, prints
from tests.unit.paper.builders import COIN, FIRST_TIME, HOUR, START, flat, replay

LONG = replay([flat(1000 + index) for index in range(800)])


def test_720_closed_bars_and_the_forming_one_are_the_most() -> None:
    step = 790 * STEPS + 3

    rows, last = bars(LONG, step, ended=False, interval_minutes=60, since=-1)

    assert len(rows) == 721
    assert rows[-1].time == FIRST_TIME + 790 * HOUR
    assert last == rows[-2].time


def test_the_forming_bar_has_only_what_was_seen() -> None:
    market = replay([flat(1000), (1000, 1300, 900, 1200, 3000, 30)])

    rows, _ = bars(market, STEPS + 4, ended=False, interval_minutes=60, since=-1)

    assert (rows[1].open, rows[1].high, rows[1].low, rows[1].close) == (1000, 1000, 960, 960)
    assert (rows[1].volume, rows[1].trades) == (500, 5)


def test_a_poll_with_last_gets_what_is_new() -> None:
    step = 30 * STEPS
    _, last = bars(LONG, step, ended=False, interval_minutes=60, since=-1)

    rows, same = bars(LONG, step, ended=False, interval_minutes=60, since=last)
    later, newer = bars(LONG, step + STEPS, ended=False, interval_minutes=60, since=last)

    assert [row.time for row in rows] == [FIRST_TIME + 30 * HOUR]
    assert same == last
    assert [row.time for row in later] == [FIRST_TIME + 30 * HOUR, FIRST_TIME + 31 * HOUR]
    assert newer == FIRST_TIME + 30 * HOUR


def test_since_in_the_future_is_empty() -> None:
    rows, last = bars(LONG, 30 * STEPS, ended=False, interval_minutes=60, since=FIRST_TIME + 900 * HOUR)

    assert rows == []
    assert last == FIRST_TIME + 29 * HOUR


def test_at_the_end_every_bar_is_closed() -> None:
    rows, last = bars(LONG, LONG.last_step, ended=True, interval_minutes=60, since=-1)

    assert len(rows) == 720
    assert last == rows[-1].time == FIRST_TIME + 799 * HOUR


def test_coarser_bars_are_put_together_on_their_own_grid() -> None:
    market = replay([(1000, 1100, 990, 1050, 300, 30), (1050, 1200, 1040, 1060, 100, 10), *[flat(1060, 0)] * 4])

    rows, last = bars(market, 5 * STEPS, ended=False, interval_minutes=240, since=-1)

    assert [row.time for row in rows] == [FIRST_TIME, FIRST_TIME + 4 * HOUR]
    first = rows[0]
    assert (first.open, first.high, first.low, first.close) == (1000, 1200, 990, 1060)
    assert (first.volume, first.trades) == (400, 40 + 2 * 60)
    assert (
        first.average == ((1000 + 2 * 1100 + 2 * 990 + 1050) // 6 * 300 + (1050 + 2400 + 2080 + 1060) // 6 * 100) // 400
    )
    assert last == FIRST_TIME


def test_a_bar_without_trades_has_no_average() -> None:
    rows, _ = bars(replay([flat(1000, 0), flat(1000)]), STEPS, ended=False, interval_minutes=60, since=-1)

    assert rows[0].average == 0


def test_today_begins_at_midnight_of_market_time() -> None:
    today, day = day_windows(LONG, 30 * STEPS)

    assert (today.open, today.trades) == (1000 + 24, 6 * 60 + 2)
    assert (day.low, day.high) == (1000 + 6, 1000 + 30)


def test_prints_come_one_a_step_with_wall_times() -> None:
    market = replay([flat(1000, 30 * COIN), (1000, 1300, 900, 1200, 30 * COIN, 30)])

    last_three = prints(market, STEPS + 1, since=None, count=3)

    assert [trade.number for trade in last_three] == [STEPS - 1, STEPS, STEPS + 1]
    assert [trade.price for trade in last_three] == [1000, 1000, 990]
    assert [trade.rising for trade in last_three] == [True, True, False]
    assert last_three[-1].time == START + timedelta(seconds=STEPS + 1)
    assert sum(trade.volume for trade in last_three) == 3 * COIN


@pytest.mark.parametrize("count", [2, 1000])
def test_prints_since_a_moment_begin_after_it(count: int) -> None:
    market = replay([flat(1000), flat(1000)])

    after = prints(market, 20, since=START + timedelta(seconds=15), count=count)

    assert [trade.number for trade in after] == [16, 17, 18, 19, 20][:count]
