"""Is this container's process healthy? An HTTP service answers on HEALTH_PORT; any other one runs, and its loops go on.

Standard library only and no start of Django: this runs every few seconds in every container.
"""

import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

# Stopped, or dead and not yet collected
STUCK_STATES = frozenset("TtZX")


def http(port: str) -> str | None:
    """None where the service says that it lives, else why not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=4):  # nosec B310
            return None
    except (urllib.error.URLError, OSError) as error:
        return f"GET /health/live on port {port}: {error}"


def main_process(stat: Path = Path("/proc/1/stat")) -> str | None:
    """None where the container's first process can run."""
    state = stat.read_text().rpartition(")")[2].split()[0]
    return f"The main process is in state {state}." if state in STUCK_STATES else None


def loops(folder: Path, stalled_seconds: float) -> str | None:
    """None where each loop has ended a step of late (apps/events/process/watchdog.py). Half of the time after which
    a process that hangs ends itself, so that it is seen before."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            continue
        if age > stalled_seconds / 2:
            return f"The loop {path.name} has ended no step for {age:.0f} s."
    return None


def health() -> str | None:
    if port := os.environ.get("HEALTH_PORT"):
        return http(port)
    folder = os.environ.get("MUCKARD_PROGRESS_DIR")
    hangs = loops(Path(folder), float(os.environ.get("MUCKARD_STALLED_SECONDS", "300"))) if folder else None
    return main_process() or hangs


if __name__ == "__main__":
    sys.exit(health())
