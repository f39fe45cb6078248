"""Stall detection of a QueueReader: while its queues hold messages, some have to be acknowledged."""

import structlog

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.reader import QueueReader
from apps.events.process.progress import Backlog, Health, Progress, ProgressWatch

logger = structlog.get_logger(__name__)

# Each count is a round trip to the broker.
SECONDS_BETWEEN_COUNTS = 5.0


class ReaderWatch:
    """Call `health` after every successful step.

    If messages are ready although the process has none unacknowledged, the broker no longer delivers to it. Then the
    connection is closed, and the next one subscribes again.
    """

    def __init__(self, name: str, reader: QueueReader) -> None:
        self._name = name
        self._reader = reader
        progress = Progress(name, done="acknowledged")
        self._watch = ProgressWatch(progress, self._backlog, every_seconds=SECONDS_BETWEEN_COUNTS)
        self._has_resubscribed = False
        # At the last count: the number of settled messages, if messages were ready and none was unacknowledged.
        self._starved_at: int | None = None

    def health(self) -> Health:
        """Raises BrokerUnavailable, also after it has closed a stalled connection."""
        health = self._watch.health()
        if not health.is_stalled:
            self._has_resubscribed = False
        elif self._starved_at == self._reader.settled and not self._has_resubscribed:
            # Once per stall: a second time would not help either.
            self._has_resubscribed = True
            logger.warning("reader_resubscribed", name=self._name, reason=health.detail)
            self._reader.reconnect()
            raise BrokerUnavailable(f"{health.detail} It subscribes to its queues again.")
        return health

    def _backlog(self) -> Backlog:
        ready, unacked = self._reader.ready(), self._reader.unacknowledged
        self._starved_at = self._reader.settled if ready and not unacked else None
        if unacked:
            reason = f"It holds {unacked} of them unacknowledged: see its log, and restart it if it stays so."
        else:
            reason = "RabbitMQ delivers none of them: restart the process if it stays so."
        return Backlog(ready + unacked, self._reader.settled, reason)
