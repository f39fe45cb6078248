"""When an order of unknown outcome is looked for."""

from datetime import timedelta

from apps.trading.services.orders.unknown_outcome import Schedule
from tests.factories.trading import NOW


def test_it_is_looked_for_5_15_30_and_60_seconds_after_its_deadline_then_each_minute_until_it_may_be_judged() -> None:
    schedule, now, looks = Schedule(), NOW, []
    while now < NOW + timedelta(seconds=300):
        now = schedule.next_look(deadline=NOW, now=now)
        looks.append(int((now - NOW).total_seconds()))
    assert looks == [5, 15, 30, 60, 120, 180, 240, 300]


def test_a_look_that_came_late_does_not_shift_the_next_ones() -> None:
    late = NOW + timedelta(seconds=17)
    assert Schedule().next_look(deadline=NOW, now=late) == NOW + timedelta(seconds=30)


def test_the_last_look_is_when_absence_may_be_judged() -> None:
    late = NOW + timedelta(seconds=290)
    assert Schedule().next_look(deadline=NOW, now=late) == NOW + timedelta(seconds=300)
