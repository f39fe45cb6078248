"""Kraken's limits of calls, as counters that are kept on this side too. Pure.

Source: Kraken's guides "REST rate limits" and "Trading rate limits". A key has one counter for its REST calls. An
account has one counter for each pair, which placements and changes of orders are charged to. A call that would exceed
the limit is not made: the exchange would refuse it, and charge it all the same.

Points are counted in millionths and times in microseconds since 1970, so that the counters are exact and, where they
round, err upwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

MICRO = 1_000_000

# Points of a pair's counter that only cancels may use: Kraken charges up to 8 for one.
KEPT_FOR_CANCELS = 10
# Points of the REST counter that only calls about orders may use.
KEPT_FOR_ORDERS = 5


class Tier(StrEnum):
    """Kraken's verification tier of an account; `unlimited` for an exchange that counts nothing."""

    STARTER = "starter"
    INTERMEDIATE = "intermediate"
    PRO = "pro"
    UNLIMITED = "unlimited"


class Lane(StrEnum):
    """What a call is for, most urgent first."""

    CANCEL = "cancel"
    RECONCILE = "reconcile"  # what became of an order
    PLACE = "place"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Limit:
    """A counter's maximum in points, and how many millionths of a point it loses in a second."""

    most: int
    decay: int


REST = {Tier.STARTER: Limit(15, 330_000), Tier.INTERMEDIATE: Limit(20, 500_000), Tier.PRO: Limit(20, 1_000_000)}
PAIR = {Tier.STARTER: Limit(60, 1_000_000), Tier.INTERMEDIATE: Limit(125, 2_340_000), Tier.PRO: Limit(180, 3_750_000)}

_REST_POINTS = {"Ledgers": 2, "QueryLedgers": 2, "TradesHistory": 2, "AddOrder": 0, "CancelOrder": 0, "AmendOrder": 0}
_LANES = {
    "AddOrder": Lane.PLACE,
    "CancelOrder": Lane.CANCEL,
    "BalanceEx": Lane.READ,
    "TradeVolume": Lane.READ,
    "GetApiKeyInfo": Lane.READ,
}
# Points beside the fixed one for an order that was placed or amended less than so many seconds ago
_CANCEL_POINTS = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))
_AMEND_POINTS = ((5, 3), (10, 2), (15, 1))

PLACE_POINTS = 1


def rest_points(method: str) -> int:
    return _REST_POINTS.get(method, 1)


def lane_of(method: str) -> Lane:
    return _LANES.get(method, Lane.RECONCILE)


def cancel_points(age_seconds: float | None) -> int:
    """Points of a cancel. `age_seconds` since the order was placed or amended; None where it is not known: the most."""
    return _points(_CANCEL_POINTS, age_seconds)


def amend_points(age_seconds: float | None) -> int:
    return 1 + _points(_AMEND_POINTS, age_seconds)


def _points(table: tuple[tuple[int, int], ...], age_seconds: float | None) -> int:
    if age_seconds is None:
        return table[0][1]
    return next((points for limit, points in table if age_seconds < limit), 0)


@dataclass(frozen=True, slots=True)
class Count:
    """A counter as it stood at `at`."""

    points: int = 0
    at: int = 0

    def decayed(self, limit: Limit, now: int) -> "Count":
        """Never grows, and never decays by time that lies before `at`: the clock may have been set back."""
        lost = max(0, now - self.at) * limit.decay // MICRO
        return Count(max(0, self.points - lost), now)

    def plus(self, points: int) -> "Count":
        return replace(self, points=self.points + points * MICRO)


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter with the shares of the callers in it: the bots of one user on one key."""

    total: Count = Count()
    shares: Mapping[str, Count] = field(default_factory=dict)

    def charged(self, points: int, *, limit: Limit, kept: int, caller: str, now: int) -> "Counter | int":
        """The counter after a call of so many points, or the seconds after which the call fits.

        `kept` points are left to more urgent calls. Of the others a caller has half for itself, or its part where more
        than two have used the counter lately. A call without `caller` is of no bot: it has no share.
        """
        total = self.total.decayed(limit, now)
        shares = {name: share for name, each in self.shares.items() if (share := each.decayed(limit, now)).points}
        own = shares.get(caller, Count(0, now))
        most = (limit.most - kept) * MICRO
        wanted = points * MICRO
        over = total.points + wanted - most
        if caller:
            callers = max(2, len(shares.keys() | {caller}))
            # Alone with a call that is larger than its part, a caller may still make it.
            over = max(over, own.points + wanted - max(most // callers, wanted))
        if over > 0:
            return -(-over // limit.decay)
        if caller:
            shares[caller] = own.plus(points)
        return Counter(total.plus(points), shares)

    def is_ahead_of(self, now: int) -> bool:
        """Whether it was counted before the clock was set back."""
        return any(count.at > now for count in (self.total, *self.shares.values()))

    def decayed(self, limit: Limit, now: int) -> "Counter":
        return Counter(
            self.total.decayed(limit, now), {name: each.decayed(limit, now) for name, each in self.shares.items()}
        )

    def filled(self, limit: Limit, now: int) -> "Counter":
        """After the exchange said that its own counter is full."""
        total = self.total.decayed(limit, now)
        return replace(self, total=Count(max(total.points, limit.most * MICRO), now))


def kept_of_rest(lane: Lane) -> int:
    return KEPT_FOR_ORDERS if lane is Lane.READ else 0


def kept_of_pair(lane: Lane) -> int:
    return 0 if lane is Lane.CANCEL else KEPT_FOR_CANCELS
