"""Heartbeat row of a worker: up while Celery's main loop runs and waiting commands make progress.

A frozen broker or a hung main loop stops Celery's own heartbeat signal, and the row says so. A thread writes the row,
so that a slow database never blocks the main loop, which has to answer RabbitMQ.
"""

import threading
import time
from typing import Any

import structlog
from celery.signals import heartbeat_sent, worker_ready, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, connection

from apps.core.process_table import PROCESSES
from apps.events.commands.metrics import pool_processes
from apps.events.commands.worker.progress import WorkerProgress
from apps.events.process import heartbeats
from apps.events.process.metrics import serve_metrics
from apps.events.process.progress import Health
from apps.events.process.watchdog import process_watchdog

logger = structlog.get_logger(__name__)

BEAT_SECONDS = 5.0
# What the watchdog watches: Celery's main loop; and the pool's processes, which do not hang while they do what waits.
MAIN, POOL = "main", "pool"
# Celery sends its heartbeat signal every two seconds.
SILENT_SECONDS = 10.0


class Liveness:
    """Records when the main loop last ran, and writes the heartbeat row of the worker's node, NAME@HOST.

    Serves the metrics of the worker and its pool too, where MUCKARD_METRICS_PORT names a port.
    """

    def __init__(self) -> None:
        self._last_run_at = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def connect(self) -> None:
        """Connects to Celery's signals; they fire only if this process becomes a worker."""
        heartbeat_sent.connect(self.main_loop_ran, weak=False)
        worker_ready.connect(self.start, weak=False)
        worker_shutting_down.connect(self.stop, weak=False)

    def main_loop_ran(self, **_: Any) -> None:
        self._last_run_at = time.monotonic()
        process_watchdog().step_done(MAIN)

    def start(self, sender: Any, **_: Any) -> None:
        if self._thread is None:
            # Not earlier: the pool's children must be forked without this thread and its database connection.
            progress = WorkerProgress(sender.hostname, list(sender.app.amqp.queues.consume_from))
            arguments = (sender.hostname, progress)
            self._thread = threading.Thread(target=self._run, args=arguments, daemon=True, name="liveness")
            self._thread.start()
            process_watchdog().start()
            process = PROCESSES.get(settings.PROCESS)
            pool_processes.set(process.concurrency if process else 0)
            env = settings.ENVIRONMENT
            if env.metrics_port:
                serve_metrics(env.metrics_port, env.metrics_address)

    def stop(self, **_: Any) -> None:
        self._stopped.set()

    def _run(self, node: str, progress: WorkerProgress) -> None:
        while not self._stopped.wait(BEAT_SECONDS if self._last_run_at else 0.5):
            try:
                health = self._health(progress)
                if not progress.is_stalled:
                    process_watchdog().step_done(POOL)
                heartbeats.beat(node, *health)
            except DatabaseError as error:
                logger.warning("worker_heartbeat_failed", reason=str(error).strip())
            finally:
                connection.close()
        progress.close()
        for loop in (MAIN, POOL):
            process_watchdog().ended(loop)
        try:
            heartbeats.retire(node)
        except DatabaseError as error:
            logger.warning("worker_heartbeat_failed", reason=str(error).strip())
        finally:
            connection.close()

    def _health(self, progress: WorkerProgress) -> Health:
        health = progress.health()
        if time.monotonic() - self._last_run_at > SILENT_SECONDS:
            return Health("down", f"The main loop does not run. {health.detail}".strip())
        return health
