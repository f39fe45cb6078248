"""Prometheus metrics of the outbox; relay and dispatcher set those of their own transport."""

import time
from collections.abc import Callable, Iterable

from django.db import connection

from apps.core.metrics import counter, gauge

SENDERS = ("relay", "dispatcher")

published = counter(
    "outbox_published_total", "Messages that the broker confirmed or did not.", ["transport", "result"],
    processes=SENDERS,
)  # fmt: skip
parked = counter(
    "outbox_parked_total", "Keys parked because a message of theirs cannot be sent.", ["transport", "reason"],
    processes=SENDERS,
)  # fmt: skip
breaker_open = gauge(
    "outbox_breaker_open", "1 while the sender stops rather than park everything.", ["transport"], processes=SENDERS
)
oldest_age = gauge(
    "outbox_oldest_age_seconds", "How long the oldest message has been waiting that is not parked.", ["transport"],
    processes=SENDERS,
)  # fmt: skip
pending = gauge(
    "outbox_pending", "Messages that wait and are not parked, by slot.", ["transport", "slot"], processes=SENDERS
)
max_key_depth = gauge(
    "outbox_max_key_depth", "The most messages that wait for one key, among the oldest 10,000.", ["transport"],
    processes=SENDERS,
)  # fmt: skip
parked_keys = gauge("outbox_parked_keys", "Keys that are parked now.", ["transport"], processes=SENDERS)

SECONDS_BETWEEN_COUNTS = 10.0

_PENDING = """
SELECT slot, count(*), extract(epoch FROM now() - min(created_at)) FROM outbox
 WHERE transport = %s AND next_attempt_at < 'infinity' AND id > %s GROUP BY slot
"""
_DEPTH = """
SELECT coalesce(max(depth), 0) FROM (
    SELECT count(*) AS depth FROM (
        SELECT key FROM outbox WHERE transport = %s AND next_attempt_at < 'infinity' AND id > %s
         ORDER BY id LIMIT 10000) AS oldest
     GROUP BY key) AS depths
"""


class OutboxStats:
    """Counts the waiting rows every 10 s, because counting a long outbox is expensive. `clock` is monotonic."""

    def __init__(self, transport: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._clock = clock
        self._counted_at = float("-inf")
        self._waiting: dict[int, int] = {}

    def waiting(self, slots: Iterable[int]) -> int:
        """How many messages of these slots waited at the last count."""
        return sum(self._waiting.get(slot, 0) for slot in slots)

    def update(self, *, low_watermark: int) -> None:
        """Counts the rows above the low watermark, if that is due. Raises DatabaseError."""
        if self._clock() - self._counted_at < SECONDS_BETWEEN_COUNTS:
            return
        self._counted_at = self._clock()
        with connection.cursor() as cursor:
            cursor.execute(_PENDING, [self._transport, low_watermark])
            rows = cursor.fetchall()
            self._waiting = {slot: count for slot, count, _ in rows}
            pending.clear()
            for slot, count, _ in rows:
                pending.labels(self._transport, slot).set(count)
            oldest_age.labels(self._transport).set(max((float(age) for _, _, age in rows), default=0.0))
            cursor.execute(_DEPTH, [self._transport, low_watermark])
            max_key_depth.labels(self._transport).set(cursor.fetchone()[0])
