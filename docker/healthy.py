"""Is this container's process healthy? An HTTP service answers on HEALTH_PORT; any other one still runs and works.

Standard library only and no start of Django: this runs every few seconds in every container.
"""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

# Stopped, or dead and not yet collected
STUCK_STATES = frozenset("TtZX")


def http(port: str) -> str | None:
    """None where the service says that it lives, else why not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=4):
            return None
    except (urllib.error.URLError, OSError) as error:
        return f"GET /health/live on port {port}: {error}"


def main_process(stat: Path = Path("/proc/1/stat")) -> str | None:
    """None where the container's first process can run."""
    state = stat.read_text().rpartition(")")[2].split()[0]
    return f"The main process is in state {state}." if state in STUCK_STATES else None


if __name__ == "__main__":
    health_port = os.environ.get("HEALTH_PORT")
    sys.exit(http(health_port) if health_port else main_process())
