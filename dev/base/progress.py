"""Shows steps on the screen: title, duration, result."""

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
    """Prints a line atomically, without buffering."""
    with _lock:
        print(text, flush=True)


class Step:
    """A running step. Set `result` to the text to show at its end."""

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
    """Shows the title after 2 seconds and every 10 seconds, and at the end the result and the duration."""
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
    """Prints a failed step to standard error: the cause first."""
    first, *rest = error.lines()
    text = "\n".join([f"  {FAILED} {first}", *(f"    {line}" for line in rest)])
    with _lock:
        print(text, file=sys.stderr, flush=True)
