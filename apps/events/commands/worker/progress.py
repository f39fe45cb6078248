"""Stall detection of a worker: it must take messages from its queues, and finish them or renew their leases."""

import re
from collections.abc import Collection, Hashable
from typing import Any

from celery.worker import state
from django.db.models import Max

from apps.events.brokers.rabbitmq.connection import (
    CONNECTION_ERRORS,
    BrokerUnavailable,
    abort,
    connect,
    ready_messages,
    release,
    unavailable,
)
from apps.events.models import CommandExecution
from apps.events.process.progress import Backlog, Health, Progress, ProgressWatch

SECONDS_BETWEEN_COUNTS = 5.0

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class WorkerProgress:
    """Runs in a thread of the worker's main process, with a RabbitMQ connection of its own."""

    def __init__(self, node: str, queues: Collection[str]) -> None:
        self._node = node
        self._queues = sorted(queues)
        self._connection: Any = None
        self._is_stalled = False
        progress = Progress(node, done="taken or finished")
        self._watch = ProgressWatch(progress, self._backlog, every_seconds=SECONDS_BETWEEN_COUNTS)

    @property
    def is_stalled(self) -> bool:
        """Whether work waited at the last look and none of it was done. False while RabbitMQ cannot be asked."""
        return self._is_stalled

    def health(self) -> Health:
        """Waits up to a few seconds for RabbitMQ. Raises DatabaseError."""
        self._is_stalled = False
        try:
            health = self._watch.health()
            self._is_stalled = health.is_stalled
            return health
        except BrokerUnavailable as error:
            return Health("down", str(error))

    def close(self) -> None:
        if self._connection is not None:
            release(self._connection)
            self._connection = None

    def _backlog(self) -> Backlog:
        ready = self._ready()
        try:
            in_progress = {request.id for request in [*state.reserved_requests, *state.active_requests]}
        except RuntimeError:
            # The main loop changed the sets while they were read, so the worker is busy.
            return Backlog(ready, object())
        marker: Hashable = (state.all_total_count[0], frozenset(in_progress), _leased_until(in_progress))
        return Backlog(ready + len(in_progress), marker, self._reason(len(in_progress)))

    def _reason(self, in_progress: int) -> str:
        if in_progress:
            return (
                f"The {in_progress} in progress renew no lease: their processes hang. The time limit ends them; "
                "restart the worker to end them now."
            )
        return f"RabbitMQ delivers nothing from {', '.join(self._queues)} to this worker: restart it."

    def _ready(self) -> int:
        is_old = self._connection is not None
        try:
            if self._connection is None:
                self._connection = connect(f"{self._node}-watch")
            return ready_messages(self._connection, self._queues)
        except CONNECTION_ERRORS as error:
            abort(self._connection)
            self._connection = None
            if not is_old or isinstance(error, TimeoutError):
                raise unavailable(error) from error
        # The broker may have been restarted since the last count.
        return self._ready()


def _leased_until(command_ids: Collection[str]) -> Hashable:
    """The latest lease expiry of these commands, which moves while one of them runs. Wake-up messages have none."""
    # An invalid message may have any id.
    known = [each for each in command_ids if _UUID.fullmatch(each)]
    if not known:
        return None
    running = CommandExecution.objects.filter(command_id__in=known, state=CommandExecution.State.RUNNING)
    until: Hashable = running.aggregate(until=Max("lease_until"))["until"]
    return until
