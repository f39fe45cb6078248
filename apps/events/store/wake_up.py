"""A nudge over Redis after commit, so that an idle relay need not wait for its next poll. Best effort: polling is the
guarantee, and with Redis down nothing is lost but a quarter of a second."""

import contextlib
import time
from functools import cache

import redis
from django.conf import settings
from django.db import transaction

# One nudge per process in this time is enough: the relay drains everything once awake.
DEBOUNCE_SECONDS = 0.01

# After a failure Redis is left alone for a while, so that a dead or silent one costs a request, or a relay, at most one
# short attempt.
PAUSE_SECONDS = 5.0

_quiet_until: dict[str, float] = {}


def channel_of(transport: str) -> str:
    return f"muckard.outbox.{transport}"


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.ENVIRONMENT.redis_url, socket_connect_timeout=0.1, socket_timeout=0.1)


def wake_after_commit(transport: str) -> None:
    """Publishes the nudge once the current transaction has committed."""

    def nudge() -> None:
        now = time.monotonic()
        if now < _quiet_until.get(transport, 0.0):
            return
        _quiet_until[transport] = now + DEBOUNCE_SECONDS
        try:
            _client().publish(channel_of(transport), b"")
        except redis.RedisError:
            _quiet_until[transport] = now + PAUSE_SECONDS

    transaction.on_commit(nudge)


class Waiter:
    """Waits for a nudge, or for the poll interval to pass, whichever comes first."""

    def __init__(self, transport: str) -> None:
        self._transport = transport
        self._subscription: redis.client.PubSub | None = None
        self._alone_until = 0.0

    def wait(self, seconds: float) -> None:
        if self._subscription is None and time.monotonic() < self._alone_until:
            time.sleep(seconds)
            return
        try:
            if self._subscription is None:
                # The library's own limit of five seconds for an answer is longer than half a lease.
                client = redis.Redis.from_url(
                    settings.ENVIRONMENT.redis_url, socket_connect_timeout=0.2, socket_timeout=0.2
                )
                self._subscription = client.pubsub(ignore_subscribe_messages=True)
                self._subscription.subscribe(channel_of(self._transport))
            self._subscription.get_message(timeout=seconds)
        except (redis.RedisError, OSError):
            self.close()
            self._alone_until = time.monotonic() + PAUSE_SECONDS
            time.sleep(seconds)

    def close(self) -> None:
        if self._subscription is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                self._subscription.close()
            self._subscription = None
