"""Whether the loops of this process go on: each writes the time of its last step, and a process whose loops hang ends.

Nothing is written unless MUCKARD_PROGRESS_DIR names a folder, as in a container: its health check (docker/healthy.py)
reads the ages there, and its engine starts again what has ended. A broker or database that is down is no reason: a loop
that waits for it goes on.
"""

import contextlib
import os
import threading
import time
from functools import cache
from pathlib import Path

import structlog
from django.conf import settings

logger = structlog.get_logger(__name__)

POLL_SECONDS = 10.0
EXIT_CODE = 70


class Watchdog:
    """The progress files of one process, in a folder of its own. `stalled_seconds` is how old one may become."""

    def __init__(self, folder: Path | None, *, stalled_seconds: float) -> None:
        self._folder = folder
        self._stalled_seconds = stalled_seconds
        self._thread: threading.Thread | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def step_done(self, loop: str) -> None:
        """`loop` has ended a step, or waits for something outside. Never raises because of the disk."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / loop).touch()

    def ended(self, loop: str) -> None:
        """`loop` is over: nothing is expected of it any more."""
        if self._folder is not None:
            (self._folder / loop).unlink(missing_ok=True)

    def stalled(self) -> list[str]:
        """The loops whose last step is too long ago."""
        if self._folder is None:
            return []
        oldest = time.time() - self._stalled_seconds
        return sorted(path.name for path in self._folder.iterdir() if _changed_at(path) < oldest)

    def start(self) -> None:
        """Ends this process once a loop has stalled: from a thread, without waiting for anything that may hang."""
        if self._folder is not None and self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")
            self._thread.start()

    def _watch(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            if loops := self.stalled():
                logger.critical("process_hangs", loops=loops, stalled_seconds=self._stalled_seconds)
                os._exit(EXIT_CODE)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")


@cache
def process_watchdog() -> Watchdog:
    """Of this process; of its main process, where it has children."""
    env = settings.ENVIRONMENT
    return Watchdog(env.progress_dir, stalled_seconds=env.stalled_seconds)
