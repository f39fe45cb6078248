"""Asks a broker whether it is there, without waiting: by a client's own connection and its own threads."""

import time
from collections.abc import Callable
from typing import Any

from kafka.errors import (
    InvalidTopicError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

_ANSWERS = (
    UnknownTopicOrPartitionError,
    InvalidTopicError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
)


class Question:
    """`cluster` is the metadata of a kafka-python client, `wake` makes that client look at it now."""

    def __init__(self, cluster: Any, wake: Callable[[], Any]) -> None:
        self._cluster = cluster
        self._wake = wake
        self._answer: Any = None
        self._asked_at = 0.0

    def put(self) -> Any:
        """Asks anew. Returns the library's future."""
        answer = self._cluster.request_update()
        self._wake()
        return answer

    def outcome(self, *, within_seconds: float) -> bool | None:
        """Whether the broker answered since the last outcome; None while an answer is due. Asks where needed."""
        now = time.monotonic()
        if self._answer is None:
            self._answer, self._asked_at = self.put(), now
            return None
        if self._answer.is_done:
            answered = is_answered(self._answer)
            self._answer = None
            return answered
        return False if now - self._asked_at > within_seconds else None


def is_answered(future: Any) -> bool:
    """A broker that says what is wrong with a topic answers, too; a request that timed out has no answer."""
    error = future.exception
    return bool(future.is_done and (error is None or isinstance(error, _ANSWERS)))
