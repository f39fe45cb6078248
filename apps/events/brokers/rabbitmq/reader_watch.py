"""Whether what a QueueReader reads is dealt with: messages that lie in its queues have to be acknowledged."""

import structlog

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable
from apps.events.brokers.rabbitmq.reader import QueueReader
from apps.events.process.progress import Backlog, Progress, ProgressWatch, Standing

logger = structlog.get_logger(__name__)

# A count is a round trip to the broker.
SECONDS_BETWEEN_COUNTS = 5.0


class ReaderWatch:
    """Ask it after every step that went well. Work that waits although the process has nothing in hand means that the
    broker no longer delivers to it: then the connection is given up, and the next one subscribes again.
    """

    def __init__(self, name: str, reader: QueueReader) -> None:
        self._name = name
        self._reader = reader
        progress = Progress(name, done="acknowledged")
        self._watch = ProgressWatch(progress, self._backlog, every_seconds=SECONDS_BETWEEN_COUNTS)
        self._has_resubscribed = False
        # Of the last count: how many were answered by then, where messages waited and none was in hand.
        self._starved_at: int | None = None

    def standing(self) -> Standing:
        """Waits for the broker no longer than for any answer. Raises BrokerUnavailable, also to subscribe again."""
        standing = self._watch.standing()
        if not standing.is_stalled:
            self._has_resubscribed = False
        elif self._starved_at == self._reader.answered and not self._has_resubscribed:
            # Once for each stall: a second time would not help either.
            self._has_resubscribed = True
            logger.warning("reader_subscribes_again", name=self._name, reason=standing.detail)
            self._reader.reconnect()
            raise BrokerUnavailable(f"{standing.detail} It subscribes to its queues again.")
        return standing

    def _backlog(self) -> Backlog:
        ready, in_hand = self._reader.ready(), self._reader.in_hand
        self._starved_at = self._reader.answered if ready and not in_hand else None
        if in_hand:
            reason = f"It has {in_hand} of them in hand: see its log, and restart it if it stays so."
        else:
            reason = "RabbitMQ delivers none of them: restart the process if it stays so."
        return Backlog(ready + in_hand, self._reader.answered, reason)
