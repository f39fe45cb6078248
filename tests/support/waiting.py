"""Waiting for what other processes and threads do: by polling, with a limit, and with the name of what did not come."""

import time
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 0.02


def eventually(condition: Callable[[], Any], *, seconds: float = 60.0, what: str = "the condition") -> Any:
    """The condition's first true answer. Fails where it does not come in time."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(POLL_SECONDS)
    return answer


def comes_true(condition: Callable[[], Any], *, seconds: float) -> bool:
    """Whether the condition comes true in time, for callers that go on either way. Polls ten times a second."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
