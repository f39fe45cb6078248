"""gunicorn's settings of every web process: `gunicorn --config python:service_common.gunicorn_config`.

The address stands on the command line, from the process table.
"""

import os
import shutil
from typing import Any

from apps.core.process_table import PROCESSES
from service_common import gunicorn_errors
from service_common.environment import environment
from service_common.multiprocess_metrics import share_metrics
from service_common.web_size import available_cores, web_size

worker_class = "gthread"
_env = environment(os.environ["SERVICE"])
workers, threads = web_size(
    PROCESSES[_env.process or os.environ["SERVICE"]],
    workers=_env.web_workers,
    connections=_env.web_connections,
    cores=available_cores(),
)
# Longer than the gateway keeps a connection, so that it never sends a request on one that is being closed.
keepalive = 75
timeout = 60
graceful_timeout = 10
# gunicorn's heartbeat files. A disk that hangs must not stop a worker process.
worker_tmp_dir = "/dev/shm"  # noqa: S108  # nosec B108
control_socket_disable = True
# What the gateway passes on is refused by the gateway or answered by the service: 100 headers, and an address and
# headers of the size that nginx reads (large_client_header_buffers).
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
loglevel = "warning"

# Here and not in a hook: prometheus_client decides by this folder when it is imported.
_folder = share_metrics()

gunicorn_errors.install()


def child_exit(_server: Any, _worker: Any) -> None:
    """Gauges of a worker process that has ended no longer count; its counters do."""
    from apps.events.process.child_metrics import collect_ended

    collect_ended(_folder)


def on_exit(_server: Any) -> None:
    shutil.rmtree(_folder, ignore_errors=True)
