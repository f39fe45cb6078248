"""The counters of calls against a simple reference: the exchange would refuse none of the calls that are made."""

from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.exchange.limits import (
    KEPT_FOR_CANCELS,
    KEPT_FOR_ORDERS,
    MICRO,
    PAIR,
    REST,
    Counter,
    Lane,
    Limit,
    Tier,
    amend_points,
    cancel_points,
    kept_of_pair,
    kept_of_rest,
    lane_of,
    rest_points,
)

TIERS = [Tier.STARTER, Tier.INTERMEDIATE, Tier.PRO]


@dataclass
class Reference:
    """The exchange's own counter: exact, and without any share."""

    most: int
    decay: Fraction
    points: Fraction = Fraction(0)
    at: int = 0
    refused: int = 0

    def call(self, points: int, at: int) -> None:
        self.points = max(Fraction(0), self.points - self.decay * Fraction(at - self.at, MICRO)) + points
        self.at = at
        self.refused += self.points > self.most


@dataclass
class Caller:
    """Calls through a counter of ours, where it lets them pass."""

    limit: Limit
    reference: Reference = field(init=False)
    counter: Counter = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.reference = Reference(self.limit.most, Fraction(self.limit.decay, MICRO))

    def call(self, points: int, at: int, *, kept: int = 0, caller: str = "") -> int:
        """The seconds to wait; 0 where the call was made."""
        after = self.counter.charged(points, limit=self.limit, kept=kept, caller=caller, now=at)
        if isinstance(after, int):
            return after
        self.counter = after
        self.reference.call(points, at)
        return 0


CALLS = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=20_000_000),  # microseconds since the call before
        st.sampled_from([Lane.CANCEL, Lane.PLACE]),
        st.floats(min_value=0, max_value=400),  # age of the order that is cancelled
        st.sampled_from(["", "a", "b", "c"]),
    ),
    max_size=200,
)


@given(tier=st.sampled_from(TIERS), calls=CALLS)
def test_the_exchange_refuses_no_placement_and_no_cancel_that_is_made(
    tier: Tier, calls: list[tuple[int, Lane, float, str]]
) -> None:
    caller, now = Caller(PAIR[tier]), 0
    for passed, lane, age, name in calls:
        now += passed
        points = cancel_points(age) if lane is Lane.CANCEL else 1
        caller.call(points, now, kept=kept_of_pair(lane), caller=name if lane is Lane.PLACE else "")
        # Ours errs upwards, and by next to nothing.
        ours, theirs = Fraction(caller.counter.total.points, MICRO), caller.reference.points
        if caller.counter.total.at == caller.reference.at:
            assert theirs <= ours <= theirs + Fraction(len(calls), MICRO)
    assert caller.reference.refused == 0


@given(
    tier=st.sampled_from(TIERS),
    calls=st.lists(
        st.tuples(st.integers(0, 10_000_000), st.sampled_from(["TradesHistory", "QueryOrders", "BalanceEx"])),
        max_size=200,
    ),
)
def test_the_exchange_refuses_no_read_that_is_made(tier: Tier, calls: list[tuple[int, str]]) -> None:
    caller, now = Caller(REST[tier]), 0
    for passed, method in calls:
        now += passed
        caller.call(rest_points(method), now, kept=kept_of_rest(lane_of(method)))
    assert caller.reference.refused == 0


@given(tier=st.sampled_from(TIERS), gaps=st.lists(st.integers(0, 100_000), min_size=1, max_size=400))
def test_a_cancel_passes_whatever_was_placed_before(tier: Tier, gaps: list[int]) -> None:
    caller, now = Caller(PAIR[tier]), 0
    for gap in gaps:
        now += gap
        caller.call(1, now, kept=kept_of_pair(Lane.PLACE), caller="a")
    assert caller.call(cancel_points(0.0), now, kept=kept_of_pair(Lane.CANCEL)) == 0


@given(tier=st.sampled_from(TIERS), gaps=st.lists(st.integers(0, 1_000_000), min_size=1, max_size=100))
def test_the_wait_that_is_named_is_enough(tier: Tier, gaps: list[int]) -> None:
    caller, now = Caller(REST[tier]), 0
    for gap in gaps:
        now += gap
        if wait := caller.call(1, now):
            now += wait * MICRO
            assert caller.call(1, now) == 0


@pytest.mark.parametrize("tier", TIERS)
def test_one_bot_leaves_half_to_the_others(tier: Tier) -> None:
    caller = Caller(PAIR[tier])
    kept = kept_of_pair(Lane.PLACE)
    placed = {name: sum(caller.call(1, 0, kept=kept, caller=name) == 0 for _ in range(500)) for name in "ab"}
    most = PAIR[tier].most - KEPT_FOR_CANCELS
    assert placed == {"a": most // 2, "b": most // 2}
    # What no bot asks for, such as a user's own look, is not held to a share.
    assert caller.call(most - 2 * (most // 2), 0, kept=kept) == 0


def test_reads_leave_points_to_calls_about_orders() -> None:
    caller = Caller(REST[Tier.STARTER])
    reads = sum(caller.call(1, 0, kept=kept_of_rest(lane_of("BalanceEx"))) == 0 for _ in range(50))
    orders = sum(caller.call(1, 0, kept=kept_of_rest(lane_of("QueryOrders"))) == 0 for _ in range(50))
    assert (reads, orders) == (15 - KEPT_FOR_ORDERS, KEPT_FOR_ORDERS)


def test_what_the_exchange_says_counts_more() -> None:
    caller = Caller(REST[Tier.STARTER])
    caller.counter = caller.counter.filled(caller.limit, 0)
    assert caller.call(1, 0) == 4  # a point at 0.33 a second
    assert caller.call(1, 4 * MICRO) == 0


def test_a_clock_that_is_set_back_frees_nothing() -> None:
    caller = Caller(REST[Tier.STARTER])
    hour = 3600 * MICRO
    assert [caller.call(1, hour) for _ in range(15)] == [0] * 15
    assert caller.counter.charged(1, limit=caller.limit, kept=0, caller="", now=0) == 4
    later = caller.counter.total.decayed(caller.limit, 0)
    assert later.points == 15 * MICRO


@pytest.mark.parametrize(
    ("age", "points"),
    [(None, 8), (0, 8), (4.9, 8), (5, 6), (10, 5), (15, 4), (45, 2), (90, 1), (299, 1), (300, 0), (9999, 0)],
)
def test_a_cancel_costs_less_the_older_the_order(age: float | None, points: int) -> None:
    assert cancel_points(age) == points


def test_the_exchanges_own_example() -> None:
    """Kraken's guide: an order is placed, amended after 7 s and cancelled 36 s after that: 1 + 3 + 4 points."""
    assert 1 + amend_points(7) + cancel_points(36) == 8
