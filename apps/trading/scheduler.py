"""Sends workers wake-up messages for due runs. It decides nothing: a lost wake-up is replaced by the next one."""

import time
from collections.abc import Callable
from datetime import datetime

import structlog
from django.conf import settings
from django.utils import timezone

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.wake_ups import WakeUpSender
from apps.events.process.backoff import Backoff
from apps.events.process.heartbeats import beat
from apps.events.process.progress import Progress, ProgressWatch
from apps.messages.base import WakeUp
from apps.trading.backlog import ticks_backlog
from apps.trading.services.runs.histories import history_is_reconciled
from apps.trading.services.runs.schedule import runs_take_due, runs_wake_for_orders

log = structlog.get_logger(__name__)

NAME = "scheduler"
POLL_SECONDS = 0.1
KEEP_ALIVE_SECONDS = 1.0


class Scheduler:
    """Runs step after step in one thread. Several schedulers may run at once: each due run is taken by one of them.

    `clock` gives the time of day, `monotonic` seconds that never jump.
    """

    def __init__(
        self,
        sender: WakeUpSender | None = None,
        *,
        clock: Callable[[], datetime] = timezone.now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sender = sender or WakeUpSender(NAME)
        self._clock = clock
        self._monotonic = monotonic
        self._backoff = Backoff()
        self._heard_at = 0.0
        progress = Progress(NAME, what="tick", done="scheduled")
        self._watch = ProgressWatch(progress, lambda: ticks_backlog(now=clock()), clock=monotonic)

    def step(self) -> float:
        """Sends a wake-up for each due run. Returns the seconds until the next step. Raises DatabaseError."""
        try:
            self._keep_alive()
            sent = self._send_due()
        except BrokerUnavailable as error:
            return self._pause(error)
        if failures := self._backoff.succeeded():
            log.info("broker_available_again", after_failed_tries=failures)
        beat(NAME, *self._watch.health())
        return 0.0 if sent else POLL_SECONDS

    def close(self) -> None:
        self._sender.close()

    def _send_due(self) -> int:
        now = self._clock()
        if not history_is_reconciled(now=now):
            return 0
        runs_wake_for_orders(now=now)
        seconds = settings.ENVIRONMENT.bot_tick_seconds
        wake_ups: list[WakeUp] = [run.wake_up(now=now) for run in runs_take_due(now=now, tick_seconds=seconds)]
        if wake_ups:
            # The claim has committed: where sending fails, the runs are due again after `seconds`.
            self._sender.send_all(wake_ups, expires_seconds=max(2 * seconds, 2.0))
            self._heard_at = self._monotonic()
        return len(wake_ups)

    def _keep_alive(self) -> None:
        """Checks the connection before runs are taken: while the broker is unavailable, they stay due."""
        if self._backoff.failures or self._monotonic() - self._heard_at > KEEP_ALIVE_SECONDS:
            self._sender.keep_alive()
            self._heard_at = self._monotonic()

    def _pause(self, error: BrokerUnavailable) -> float:
        seconds = self._backoff.failed()
        log.warning("broker_unavailable", effect="runs stay due", reason=error.message, next_try_in_seconds=seconds)
        beat(NAME, "down", error.message)
        return seconds
