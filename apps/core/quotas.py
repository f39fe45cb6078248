"""Quotas of requests per user and scope, counted in Redis for all processes of all services together.

A bucket of tokens refills evenly and holds a quarter of a minute's quota. It is one number, the theoretical arrival
time of GCRA (ITU-T I.371). A script in Redis takes from it atomically, by Redis's own clock.

Reads come often and may be counted a little coarsely: a process takes `batch` tokens at once, in one round trip, and
spends them without asking. What it has not spent after LEASE_SECONDS is lost to the user, never gained.

Without Redis each process counts by itself, with the same quota: a user may then send as much as there are processes.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django_redis import get_redis_connection  # type: ignore[import-untyped]
from redis.exceptions import RedisError

from apps.core.errors import TooManyRequests

LEASE_SECONDS = 10.0
# How long a process counts by itself after Redis did not answer, so that requests do not each wait for its time-out.
WITHOUT_REDIS_SECONDS = 5.0
LONGEST_MEMORY = 20_000


class Scope(StrEnum):
    READ = "read"
    TRADE = "trade"
    ACCOUNT = "account"
    SAFETY = "safety"


@dataclass(frozen=True)
class Quota:
    """`per_minute` requests, at most `burst` of them at once. `batch` are taken from Redis at once."""

    per_minute: int
    batch: int = 1

    @property
    def burst(self) -> int:
        return max(1, self.per_minute // 4)

    @property
    def interval_seconds(self) -> float:
        return 60 / self.per_minute


class QuotaExceeded(TooManyRequests):
    """The user sends more requests than the quota of this scope allows. `details` has scope, quota and burst."""

    code = "quota_exceeded"


# KEYS: bucket. ARGV: microseconds between tokens, burst, tokens wanted.
# Answers tokens taken, microseconds to the next one.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local left = burst * interval - (arrival - now)
local taken = math.min(math.floor(left / interval), wanted)
if taken < 1 then
    return {0, math.ceil(interval - left)}
end
arrival = arrival + taken * interval
redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1000)
return {taken, 0}
"""


@dataclass
class _Lease:
    tokens: int
    ends_at: float


class QuotaCounter:
    """Of one process. `clock` is a monotonic clock in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, connect: Callable[[], Any] | None = None) -> None:
        self._clock = clock
        self._connect = connect or (lambda: get_redis_connection("default"))
        self._lock = threading.Lock()
        self._leases: dict[str, _Lease] = {}
        # Theoretical arrival times of the buckets that this process counts by itself
        self._arrivals: dict[str, float] = {}
        self._alone_until = -math.inf
        self._script: Any = None

    def spend(self, *, user_id: UUID, scope: Scope, quota: Quota) -> None:
        """Takes one token. Raises QuotaExceeded."""
        if not quota.per_minute:
            return
        name = f"quota:{scope}:{user_id}"
        if self._spend_lease(name):
            return
        taken, wait = self._take(name, quota)
        if not taken:
            seconds = max(1, math.ceil(wait))
            raise QuotaExceeded(
                f"More than {quota.per_minute} requests a minute ({scope}). Try again in {seconds} s.",
                retry_after_seconds=seconds, scope=str(scope), per_minute=quota.per_minute, burst=quota.burst,
            )  # fmt: skip
        if taken > 1:
            with self._lock:
                self._remember(self._leases, name, _Lease(taken - 1, self._clock() + LEASE_SECONDS))

    def _spend_lease(self, name: str) -> bool:
        with self._lock:
            lease = self._leases.get(name)
            if lease is None:
                return False
            if lease.tokens < 1 or lease.ends_at <= self._clock():
                del self._leases[name]
                return False
            lease.tokens -= 1
            return True

    def _take(self, name: str, quota: Quota) -> tuple[int, float]:
        """Tokens taken, and seconds to the next one where there is none."""
        if self._clock() < self._alone_until:
            return self._take_here(name, quota)
        try:
            taken, wait = self._in_redis(name, quota)
        except RedisError:
            self._alone_until = self._clock() + WITHOUT_REDIS_SECONDS
            return self._take_here(name, quota)
        return int(taken), int(wait) / 1_000_000

    def _in_redis(self, name: str, quota: Quota) -> Any:
        client = self._connect()
        if self._script is None:
            self._script = client.register_script(_TAKE)
        interval = round(quota.interval_seconds * 1_000_000)
        return self._script(keys=[f"muckard:{name}"], args=[interval, quota.burst, quota.batch], client=client)

    def _take_here(self, name: str, quota: Quota) -> tuple[int, float]:
        with self._lock:
            now = self._clock()
            arrival = max(self._arrivals.get(name, now), now)
            left = quota.burst * quota.interval_seconds - (arrival - now)
            if left < quota.interval_seconds:
                return 0, quota.interval_seconds - left
            self._remember(self._arrivals, name, arrival + quota.interval_seconds)
            return 1, 0.0

    def _remember(self, where: dict[str, Any], name: str, value: Any) -> None:
        if len(where) >= LONGEST_MEMORY:
            # A lost lease costs its tokens, a lost count gives a burst: neither is worth more than bounded memory.
            where.clear()
        where[name] = value


counter = QuotaCounter()
