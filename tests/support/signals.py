"""Processes of a profile, and what tests do to them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from dev.base import processes
from dev.base.processes import OwnProcess
from dev.base.profile import Profile


def processes_of(profile: Profile, name: str) -> list[OwnProcess]:
    """Fails where none runs."""
    running = processes.named(profile, name)
    assert running, f"{name} does not run"
    return running


@contextmanager
def frozen(each_of: list[OwnProcess]) -> Iterator[None]:
    """They hold their connections and answer nothing."""
    for each in each_of:
        each.send(signal.SIGSTOP)
    try:
        yield
    finally:
        for each in each_of:
            each.send(signal.SIGCONT)
