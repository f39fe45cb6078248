"""Several consumer groups in one process, each in a thread of its own."""

import threading

import structlog

from apps.core.errors import PlatformError
from apps.events.consumers.group import GroupConsumer
from apps.events.loop import Stop, run_until_stopped

logger = structlog.get_logger(__name__)

FAREWELL_SECONDS = 20.0
LOOK_SECONDS = 0.5


class GroupEnded(PlatformError):
    """A consumer group ended by an error: the process ends too, so that it is started anew."""

    code = "consumer_group_ended"
    http_status = 500


class SideBySide:
    """The threads begin with the first step; `close` ends them, each after what it has in hand."""

    def __init__(self, groups: list[str]) -> None:
        self._stop = Stop()
        self._threads = [threading.Thread(target=self._run, args=(group,), name=group) for group in groups]
        self._ended: list[str] = []

    def step(self) -> float:
        """Returns the seconds until the next look at the threads. Raises GroupEnded."""
        for thread in self._threads:
            if thread.ident is None:
                thread.start()
        if self._ended:
            raise GroupEnded(f"These groups ended by an error; see the log: {', '.join(self._ended)}.")
        return LOOK_SECONDS

    def close(self) -> None:
        self._stop.request()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(FAREWELL_SECONDS)

    def _run(self, group: str) -> None:
        # Made here: a consumer belongs to the thread that uses it.
        consumer = GroupConsumer(group)
        try:
            run_until_stopped(consumer.step, stop=self._stop)
        except Exception:
            logger.exception("A consumer group ended by an error.", group=group)
            self._ended.append(group)
        finally:
            consumer.close()
