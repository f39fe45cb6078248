"""Broker probe: checks without blocking whether the broker answers, by a metadata request of an existing client."""

import time
from collections.abc import Callable
from typing import Any

from kafka.errors import (
    InvalidTopicError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

# Errors of a topic, reported by a broker that does answer.
_TOPIC_ERRORS = (
    UnknownTopicOrPartitionError,
    InvalidTopicError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
)


class BrokerProbe:
    """`request` starts a metadata request and returns its future, without blocking."""

    def __init__(self, request: Callable[[], Any]) -> None:
        self._request = request
        self._pending: Any = None
        self._requested_at = 0.0

    def result(self, *, within_seconds: float) -> bool | None:
        """Whether the broker answered the last request; None while an answer is due. Starts a request if none is."""
        now = time.monotonic()
        if self._pending is None:
            self._pending, self._requested_at = self._request(), now
            return None
        if self._pending.is_done:
            is_answered = has_answer(self._pending)
            self._pending = None
            return is_answered
        return False if now - self._requested_at > within_seconds else None


def has_answer(future: Any) -> bool:
    """Whether the future holds an answer of the broker. An error about a topic is one; a request timeout is not."""
    error = future.exception
    return bool(future.is_done and (error is None or isinstance(error, _TOPIC_ERRORS)))
