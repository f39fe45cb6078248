"""Wake-ups over Redis: a publish after commit wakes an idle sender before its next poll.

Best effort: polling is the guarantee. With Redis down, a message waits a quarter of a second at most.
"""

import contextlib
import time
from collections.abc import Callable
from functools import cache

import redis
from django.conf import settings
from django.db import transaction

# A process sends at most one wake-up in this time: an awake sender reads everything that waits.
DEBOUNCE_SECONDS = 0.01

# Redis is not tried again for this long after a failure, so that an outage delays a request or a sender by one short
# timeout at most.
PAUSE_SECONDS = 5.0

# The channel of the streams of users' events, whose reader waits as the senders of a transport do.
STREAM = "stream"

_quiet_until: dict[str, float] = {}


def channel_of(transport: str) -> str:
    return f"muckard.outbox.{transport}"


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.ENVIRONMENT.redis_url, socket_connect_timeout=0.1, socket_timeout=0.1)


def wake_after_commit(transport: str) -> None:
    """Wakes the sender of this transport once the current transaction has committed."""

    def wake() -> None:
        now = time.monotonic()
        if now < _quiet_until.get(transport, 0.0):
            return
        _quiet_until[transport] = now + DEBOUNCE_SECONDS
        try:
            _client().publish(channel_of(transport), b"")
        except redis.RedisError:
            _quiet_until[transport] = now + PAUSE_SECONDS

    transaction.on_commit(wake)


class WakeUpListener:
    """Waits for the wake-ups of one transport. `clock` is monotonic; `sleep` is used while Redis is down."""

    def __init__(
        self,
        transport: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._subscription: redis.client.PubSub | None = None
        self._paused_until = 0.0

    def wait(self, seconds: float) -> None:
        """Returns at a wake-up, or after `seconds`."""
        if self._subscription is None and self._clock() < self._paused_until:
            self._sleep(seconds)
            return
        try:
            if self._subscription is None:
                # redis-py's default timeout of 5 s would be longer than half a lease.
                client = redis.Redis.from_url(
                    settings.ENVIRONMENT.redis_url, socket_connect_timeout=0.2, socket_timeout=0.2
                )
                self._subscription = client.pubsub(ignore_subscribe_messages=True)
                self._subscription.subscribe(channel_of(self._transport))
            self._subscription.get_message(timeout=seconds)
        except (redis.RedisError, OSError):
            self.close()
            self._paused_until = self._clock() + PAUSE_SECONDS
            self._sleep(seconds)

    def close(self) -> None:
        if self._subscription is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                self._subscription.close()
            self._subscription = None
