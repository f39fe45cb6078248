"""Wakes the workers for runs that are due. It decides nothing: a lost wake-up message is replaced by the next one."""

import time

import structlog
from django.conf import settings
from django.utils import timezone

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.wake_ups import WakeUpSender
from apps.events.process.heartbeats import beat
from apps.events.process.progress import Progress, ProgressWatch
from apps.messages.base import WakeUp
from apps.trading.backlog import ticks_backlog
from apps.trading.services.runs.histories import history_is_reconciled
from apps.trading.services.runs.schedule import runs_take_due

log = structlog.get_logger(__name__)

NAME = "scheduler"
POLL_SECONDS = 0.1
KEEP_ALIVE_SECONDS = 1.0

# While the broker is away: this long, then twice as long each time, up to the maximum.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0


class Scheduler:
    """One step after another, in one thread. Several may run beside each other: each run is taken by one of them."""

    def __init__(self, sender: WakeUpSender | None = None) -> None:
        self._sender = sender or WakeUpSender(NAME)
        self._failures = 0
        self._heard_at = 0.0
        progress = Progress(NAME, what="tick", done="scheduled")
        self._watch = ProgressWatch(progress, lambda: ticks_backlog(now=timezone.now()))

    def step(self) -> float:
        """Sends what is due. Returns the seconds to wait before the next step. Raises DatabaseError."""
        try:
            self._keep_alive()
            sent = self._send_due()
        except BrokerUnavailable as error:
            return self._pause(error)
        if self._failures:
            log.info("signals_flow_again", after_failed_tries=self._failures)
            self._failures = 0
        beat(NAME, *self._watch.standing())
        return 0.0 if sent else POLL_SECONDS

    def close(self) -> None:
        self._sender.close()

    def _send_due(self) -> int:
        now = timezone.now()
        if not history_is_reconciled(now=now):
            return 0
        seconds = settings.ENVIRONMENT.bot_tick_seconds
        wake_ups: list[WakeUp] = [run.wake_up(now=now) for run in runs_take_due(now=now, tick_seconds=seconds)]
        if wake_ups:
            # The claim has committed: where sending fails, the runs are due again after `seconds`.
            self._sender.send_all(wake_ups, expires_seconds=max(2 * seconds, 2.0))
            self._heard_at = time.monotonic()
        return len(wake_ups)

    def _keep_alive(self) -> None:
        """Before runs are taken: while the broker is known to be away, they stay due."""
        if self._failures or time.monotonic() - self._heard_at > KEEP_ALIVE_SECONDS:
            self._sender.keep_alive()
            self._heard_at = time.monotonic()

    def _pause(self, error: BrokerUnavailable) -> float:
        seconds: float = min(FIRST_PAUSE_SECONDS * 2.0**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures = min(self._failures + 1, 10)
        log.warning("wake_ups_not_sent", reason=error.message, next_try_in_seconds=seconds)
        beat(NAME, "down", error.message)
        return seconds
