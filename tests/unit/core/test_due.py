"""Stored times survive a clock that is set back: they are reached when they should be, not when it has caught up."""

from datetime import UTC, datetime, timedelta

import pytest

from apps.core.due import is_due

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
INTERVAL = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("seconds_ahead", "expected"),
    [(-3600, True), (-1, True), (0, True), (1, False), (30, False), (40, False), (41, True), (60, True), (3630, True)],
)
def test_a_time_further_ahead_than_its_interval_was_stored_before_the_clock_was_set_back(
    seconds_ahead: float, expected: bool
) -> None:
    assert is_due(NOW + timedelta(seconds=seconds_ahead), now=NOW, at_most=INTERVAL) is expected
