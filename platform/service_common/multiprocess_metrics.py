"""Prometheus metrics of a process with children: each child writes files, a request for /metrics adds them up.

https://prometheus.github.io/client_python/multiprocess/ has the rules: the folder must be empty when the process
starts, and it must be named before prometheus_client is imported.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
PREFIX = "muckard-metrics-"


def share_metrics() -> Path:
    """Makes a new folder for this process and the children that it will fork, and returns it. Remove it at the end."""
    assert "prometheus_client" not in sys.modules
    _remove_forgotten()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    os.environ[VARIABLE] = str(folder)
    return folder


def _remove_forgotten() -> None:
    """Removes the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)
