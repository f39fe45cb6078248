"""The budget of calls of a key, stored so that all processes and restarts share it.

A call is charged in the key's signing turn, before it is sent: no other process changes the counters then, and one
that dies has charged what it may have sent.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, connection

from apps.exchange.errors import NotSent, OverBudget
from apps.exchange.limits import (
    MICRO,
    PAIR,
    PLACE_POINTS,
    REST,
    Count,
    Counter,
    Lane,
    Limit,
    Tier,
    cancel_points,
    kept_of_pair,
    kept_of_rest,
    lane_of,
    rest_points,
)

log = structlog.get_logger(__name__)

# The scope of a key's REST counter; other scopes are pairs.
KEY = ""
# No exchange asks for more; a pause that ends later was stored before the clock was set back.
LONGEST_PAUSE_SECONDS = 3600

_READ = """
SELECT scope, points, counted_at, shares, blocked_until FROM exchange_budget WHERE key_digest = %s AND scope = ANY(%s)
"""
_WRITE = """
INSERT INTO exchange_budget (key_digest, scope, points, counted_at, shares, blocked_until)
VALUES (%s, %s, %s, %s, %s, 0)
ON CONFLICT (key_digest, scope) DO UPDATE
   SET points = excluded.points, counted_at = excluded.counted_at, shares = excluded.shares
"""
_BLOCK = """
INSERT INTO exchange_budget (key_digest, scope, points, counted_at, shares, blocked_until)
VALUES (%s, %s, 0, 0, '{}', %s)
ON CONFLICT (key_digest, scope) DO UPDATE
   SET blocked_until = greatest(exchange_budget.blocked_until, excluded.blocked_until)
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of one key. `caller` names the bot that makes the calls; empty where none does."""

    digest: str
    tier: Tier
    caller: str = ""

    def charge(self, method: str, *, pair: str = "", placed_at: float | None = None) -> None:
        """Charges a call. Inside the key's signing turn, before the call is sent.

        `pair` and `placed_at` (Unix seconds) are those of the order that the call is about, where known. Raises
        OverBudget where the call must wait, NotSent where the database does not answer.
        """
        now = _now()
        lane = lane_of(method)
        scopes = [KEY, pair] if pair else [KEY]
        known, blocked_until = self._read(scopes)
        if blocked_until > now and blocked_until <= now + LONGEST_PAUSE_SECONDS * MICRO:
            raise self._over(lane, -(-(blocked_until - now) // MICRO), "The exchange asked for a pause")
        if self.tier is Tier.UNLIMITED:
            return
        charges: list[tuple[str, Limit, int, int]] = []
        if points := rest_points(method):
            charges.append((KEY, REST[self.tier], points, kept_of_rest(lane)))
        if pair and lane in (Lane.PLACE, Lane.CANCEL):
            age = None if placed_at is None else max(0.0, now / MICRO - placed_at)
            points = PLACE_POINTS if lane is Lane.PLACE else cancel_points(age)
            charges.append((pair, PAIR[self.tier], points, kept_of_pair(lane)))
        # Reads and placements are shared fairly among the bots; what is about an order in doubt or to be cancelled
        # waits for no other bot.
        caller = self.caller if lane in (Lane.PLACE, Lane.READ) else ""
        after: list[tuple[str, Counter]] = []
        for scope, limit, points, kept in charges:
            counter = known.get(scope, Counter()).charged(points, limit=limit, kept=kept, caller=caller, now=now)
            if isinstance(counter, int):
                if (counted := known.get(scope)) is not None and counted.is_ahead_of(now):
                    # A refused call stores nothing: without this the counter would not decay until the clock, which was
                    # set back, has come to where it was.
                    self._write(scope, counted.decayed(limit, now))
                raise self._over(lane, counter, "The exchange's limit of calls is nearly reached")
            after.append((scope, counter))
        for scope, counter in after:
            self._write(scope, counter)

    def note_limited(self, *, pair: str = "") -> None:
        """The exchange's own counter is full, of the pair or of the key: ours was too low. Never raises."""
        if self.tier is Tier.UNLIMITED:
            return
        try:
            known, _ = self._read([pair])
            limit = PAIR[self.tier] if pair else REST[self.tier]
            self._write(pair, known.get(pair, Counter()).filled(limit, _now()))
        except NotSent:
            log.warning("call_budget_not_stored", scope=pair)

    def block(self, seconds: int) -> None:
        """The exchange wants no calls of this key for so many seconds. Never raises."""
        until = _now() + min(max(seconds, 1), LONGEST_PAUSE_SECONDS) * MICRO
        try:
            _execute(_BLOCK, self.digest, KEY, until)
        except NotSent:
            log.warning("call_pause_not_stored", seconds=seconds)

    def _over(self, lane: Lane, seconds: int, why: str) -> OverBudget:
        log.info("call_over_budget", lane=lane, retry_after_seconds=seconds, key=self.digest[:8])
        return OverBudget(f"{why}: nothing was sent. Wait {seconds} s.", retry_after_seconds=max(1, seconds), lane=lane)

    def _read(self, scopes: list[str]) -> tuple[dict[str, Counter], int]:
        rows = _execute(_READ, self.digest, scopes)
        known, blocked = {}, 0
        for scope, points, counted_at, shares, blocked_until in rows:
            parts = json.loads(shares) if isinstance(shares, str) else shares
            known[scope] = Counter(Count(points, counted_at), {name: Count(*each) for name, each in parts.items()})
            blocked = max(blocked, blocked_until)
        return known, blocked

    def _write(self, scope: str, counter: Counter) -> None:
        shares = {name: [share.points, share.at] for name, share in counter.shares.items()}
        _execute(_WRITE, self.digest, scope, counter.total.points, counter.total.at, json.dumps(shares))


def _now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def _execute(statement: str, *values: Any) -> list[Any]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
    except (DatabaseError, InterfaceError) as error:
        raise NotSent("The budget of calls cannot be read: the database does not answer.") from error
