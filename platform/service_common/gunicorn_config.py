"""gunicorn's settings of every web process: `gunicorn --config python:service_common.gunicorn_config`.

Address and number of threads stand on the command line, from the process table.
"""

import os
import shutil
from typing import Any

from service_common.environment import environment
from service_common.multiprocess_metrics import share_metrics

worker_class = "gthread"
workers = environment(os.environ["SERVICE"]).web_workers
# Longer than the gateway keeps a connection, so that it never sends a request on one that is being closed.
keepalive = 75
timeout = 60
graceful_timeout = 10
# gunicorn's heartbeat files. A disk that hangs must not stop a worker process.
worker_tmp_dir = "/dev/shm"  # noqa: S108
control_socket_disable = True
loglevel = "warning"

# Here and not in a hook: prometheus_client decides by this folder when it is imported.
_folder = share_metrics()


def child_exit(_server: Any, worker: Any) -> None:
    """Gauges of a worker process that has ended no longer count; its counters do."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    shutil.rmtree(_folder, ignore_errors=True)
