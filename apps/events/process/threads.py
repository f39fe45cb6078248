"""Several workers in one process, each in a thread of its own: none waits for another."""

import threading
from collections.abc import Callable, Mapping

import structlog

from apps.core.errors import PlatformError
from apps.events.process.run_loop import Stop, run_until_stopped
from apps.events.process.worker_command import Worker

logger = structlog.get_logger(__name__)

FAREWELL_SECONDS = 20.0
LOOK_SECONDS = 0.5


class WorkerEnded(PlatformError):
    """One of the workers ended by an error: the process ends too, so that it is started anew."""

    code = "worker_ended"
    http_status = 500


class WorkerThreads:
    """Of each name a worker, made in its own thread. The threads begin with the first step; `close` ends them, each
    after what it has in hand."""

    def __init__(self, makers: Mapping[str, Callable[[], Worker]]) -> None:
        self._stop = Stop()
        self._threads = [threading.Thread(target=self._run, args=each, name=each[0]) for each in makers.items()]
        self._ended: list[str] = []

    def step(self) -> float:
        """Returns the seconds until the next look at the threads. Raises WorkerEnded."""
        for thread in self._threads:
            if thread.ident is None:
                thread.start()
        if self._ended:
            raise WorkerEnded(f"These ended by an error; see the log: {', '.join(self._ended)}.")
        return LOOK_SECONDS

    def close(self) -> None:
        self._stop.request()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(FAREWELL_SECONDS)

    def _run(self, name: str, make: Callable[[], Worker]) -> None:
        try:
            worker = make()
            try:
                run_until_stopped(worker.step, stop=self._stop)
            finally:
                worker.close()
        except Exception:
            logger.exception("A worker ended by an error.", worker=name)
            self._ended.append(name)
