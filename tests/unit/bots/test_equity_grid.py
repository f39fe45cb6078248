"""The times of an equity curve."""

from datetime import UTC, datetime, timedelta

import pytest

from apps.bots.equity_grid import equity_grid

NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "resolution"),
    [
        (timedelta(minutes=5), timedelta(minutes=1)),
        (timedelta(hours=12), timedelta(minutes=5)),
        (timedelta(days=30), timedelta(hours=4)),
        (timedelta(days=365), timedelta(weeks=1)),
        (timedelta(days=30_000), timedelta(weeks=22)),
    ],
)
@pytest.mark.parametrize("points", [200])
def test_the_resolution_is_the_finest_that_needs_no_more_points(
    span: timedelta, resolution: timedelta, points: int
) -> None:
    grid = equity_grid(since=NOON - span, until=NOON, points=points)
    assert grid.resolution == resolution
    assert len(grid.times) <= points
    assert grid.times[-1] == NOON
    assert all(later - at == resolution for at, later in zip(grid.times, grid.times[1:-1], strict=False))
    assert all(NOON - span < at for at in grid.times)


@pytest.mark.parametrize("points", [2, 3, 500])
def test_there_are_never_more_points_than_asked_for(points: int) -> None:
    for minutes in range(1, 20_000, 97):
        assert len(equity_grid(since=NOON - timedelta(minutes=minutes), until=NOON, points=points).times) <= points


def test_without_a_span_there_is_one_point() -> None:
    assert equity_grid(since=NOON, until=NOON, points=200).times == (NOON,)
