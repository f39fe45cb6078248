"""What a person sees while a step runs: what it is, how long it takes, how it ended."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dev.base.errors import StackError

ANNOUNCE_AFTER_SECONDS = 2.0
REMIND_EVERY_SECONDS = 10.0

_lock = threading.Lock()
_plain = (sys.stdout.encoding or "").lower().replace("-", "") not in {"utf8", "utf_8"}
DONE, FAILED, WAITING = ("ok", "FAILED", "..") if _plain else ("✓", "✗", "…")


def say(text: str = "") -> None:
    """One line to the screen, whole, at once."""
    with _lock:
        print(text, flush=True)


class Step:
    """A step that runs. Set `result` to say at its end what came of it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.result = title
        self.quiet = False
        self.started_at = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_at


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Says what runs once it takes longer than a moment, again every ten seconds, and at the end how long it took."""
    current = Step(title)
    ended = threading.Event()

    def remind() -> None:
        wait = ANNOUNCE_AFTER_SECONDS
        while not ended.wait(wait):
            say(f"  {WAITING} {current.title} ({current.seconds:.0f} s)")
            wait = REMIND_EVERY_SECONDS

    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield current
    finally:
        ended.set()
    if not current.quiet:
        say(f"  {DONE} {current.result:<72} {current.seconds:6.1f} s")


def show_failure(error: StackError) -> None:
    """A failed step on the screen: the cause first."""
    first, *rest = error.lines()
    text = "\n".join([f"  {FAILED} {first}", *(f"    {line}" for line in rest)])
    with _lock:
        print(text, file=sys.stderr, flush=True)
