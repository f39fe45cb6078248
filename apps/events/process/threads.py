"""Several workers in one process, one thread each, so that none waits for another."""

import threading
from collections.abc import Callable, Mapping

import structlog

from apps.core.errors import PlatformError
from apps.events.process.run_loop import Stop, run_until_stopped
from apps.events.process.worker_command import Worker

logger = structlog.get_logger(__name__)

JOIN_SECONDS = 20.0
CHECK_SECONDS = 0.5


class WorkerEnded(PlatformError):
    """A worker thread failed. The process ends too, so that its supervisor restarts it."""

    code = "worker_ended"
    http_status = 500


class WorkerThreads:
    """Runs one named worker per thread. Each worker is created in its own thread.

    The first `step` starts the threads. `close` stops each of them after its current step.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Worker]]) -> None:
        self._stop = Stop()
        self._threads = [threading.Thread(target=self._run, args=each, name=each[0]) for each in makers.items()]
        self._ended: list[str] = []

    def step(self) -> float:
        """Checks the threads. Returns the seconds until the next check. Raises WorkerEnded."""
        for thread in self._threads:
            if thread.ident is None:
                thread.start()
        if self._ended:
            raise WorkerEnded(f"These ended by an error; see the log: {', '.join(self._ended)}.")
        return CHECK_SECONDS

    def close(self) -> None:
        self._stop.request()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(JOIN_SECONDS)

    def _run(self, name: str, make: Callable[[], Worker]) -> None:
        try:
            worker = make()
            try:
                run_until_stopped(worker.step, stop=self._stop)
            finally:
                worker.close()
        except Exception:
            logger.exception("worker_thread_failed", worker=name)
            self._ended.append(name)
