"""The next candle is found soon after it closed, with at most two looks a candle."""

from datetime import UTC, datetime, timedelta

import pytest

from apps.trading.candle_clock import LAST_RETRY, Closing, closing_missed, closing_seen, next_look

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def watch(
    length: timedelta, *, phase: timedelta, candles: int, until: int | None = None
) -> tuple[int, list[timedelta]]:
    """Looks at a market whose candles close at `phase` and every `length` after. Returns the number of looks, and how
    long after its close each candle was seen. After the candle `until` the market stands still."""
    now, looked_at, seen, closing = BEGIN, None, -1, None
    looks, delays = 0, []
    while now < BEGIN + length * candles:
        looks += 1
        closed = (now - BEGIN - phase) // length
        closed = closed if until is None else min(closed, until)
        if closed != seen or closing is None:
            delays.append(now - (BEGIN + phase + length * closed))
            closing, seen = closing_seen(closing, length=length, looked_at=looked_at, now=now), closed
        else:
            closing = closing_missed(closing, length=length, now=now)
        looked_at = now
        now = next_look(closing, length=length, now=now)
        assert now > looked_at
    return looks, delays


@pytest.mark.parametrize("seconds", [0.5, 1, 7, 60, 3600])
@pytest.mark.parametrize("phase", [0.0, 0.01, 0.37, 0.5, 0.93])
def test_a_replay_of_any_speed_and_phase(seconds: float, phase: float) -> None:
    length = timedelta(seconds=seconds)
    looks, delays = watch(length, phase=length * phase, candles=40)
    assert looks <= 40 * 2
    assert len(delays) >= 39
    assert max(delays[8:]) <= length * 0.2


def test_a_market_that_stands_still_is_looked_at_ever_less() -> None:
    looks, _ = watch(timedelta(seconds=1), phase=timedelta(seconds=0.4), candles=3600, until=10)
    assert looks < 20 + 3600 / LAST_RETRY.total_seconds() + 10


def test_a_candle_that_closes_on_the_clock_is_looked_for_after_its_close() -> None:
    length = timedelta(hours=1)
    look = next_look(Closing(BEGIN, BEGIN), length=length, now=BEGIN + timedelta(minutes=20))
    assert timedelta(0) < look - (BEGIN + length) <= timedelta(seconds=1)


def test_one_that_is_late_is_looked_for_again_soon_and_then_later() -> None:
    length, closing = timedelta(hours=1), Closing(BEGIN, BEGIN)
    now = BEGIN + length + timedelta(seconds=0.5)
    waits = []
    for _ in range(9):
        closing = Closing(BEGIN, BEGIN, closing.misses + 1)
        look = next_look(closing, length=length, now=now)
        waits.append((look - now).total_seconds())
        now = look
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
