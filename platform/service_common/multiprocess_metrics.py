"""Prometheus metrics of a process with children: each child writes files, a request for /metrics adds them up.

https://prometheus.github.io/client_python/multiprocess/ has the rules: the folder must be empty when the process
starts, and it must be named before prometheus_client is imported.
"""

import os
import sys
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics() -> Path:
    """Makes a new folder for this process and the children that it will fork, and returns it. Remove it at the end."""
    assert "prometheus_client" not in sys.modules
    folder = Path(tempfile.mkdtemp(prefix="muckard-metrics-"))
    os.environ[VARIABLE] = str(folder)
    return folder
