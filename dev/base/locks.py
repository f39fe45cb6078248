"""A lock file for one starter at a time. A second one waits, and says for which process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.base.progress import WAITING, say


@contextmanager
def lock(path: Path, doing: str) -> Iterator[None]:
    """Holds the lock file while the block runs. The kernel releases it when the process ends, also by SIGKILL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another starter"
            say(f"  {WAITING} Waiting for {holder}")
            started_at = time.monotonic()
            fcntl.flock(file, fcntl.LOCK_EX)
            say(f"  {WAITING} Waited {time.monotonic() - started_at:.1f} s")
        file.seek(0)
        file.truncate()
        file.write(f"pid {os.getpid()}, which is {doing}")
        file.flush()
        try:
            yield
        finally:
            file.seek(0)
            file.truncate()
