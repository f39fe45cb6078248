"""The relay's window: a Kafka producer and the batches that it has not acknowledged yet."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import structlog
from django.utils import timezone

from apps.core import tracing
from apps.events.brokers.kafka.producer import EventProducer
from apps.events.outbox.relay import metrics
from apps.events.outbox.relay.batch import Batch
from apps.events.outbox.relay.query import Record
from apps.events.outbox.rows import delete_rows

logger = structlog.get_logger(__name__)

# A producer that has ended fails the records that it has not sent, within this time.
END_SECONDS = 1.0


class Window:
    """Acknowledged rows are remembered until they are deleted, also over a database outage. `clock` is monotonic."""

    def __init__(self, process_name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client_id = f"muckard-{process_name}"
        self._clock = clock
        self._producer: EventProducer | None = None
        self._batches: deque[Batch] = deque()
        self._acknowledged: list[int] = []

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    @property
    def producer(self) -> EventProducer:
        """The current producer; created when first needed, so that it belongs to the process after a fork."""
        if self._producer is None:
            self._producer = EventProducer(self._client_id)
        return self._producer

    @property
    def failure(self) -> BaseException | None:
        """The error after which the current producer sends nothing more."""
        return None if self._producer is None else self._producer.failure

    @property
    def row_ids(self) -> list[int]:
        return [record.row_id for batch in self._batches for record in batch.records]

    @property
    def oldest_seconds(self) -> float:
        """The age of the oldest batch; 0 without one."""
        return self._clock() - self._batches[0].sent_at if self._batches else 0.0

    def open_batch(self) -> Batch:
        batch = Batch(self._clock())
        self._batches.append(batch)
        return batch

    def wait_oldest(self, seconds: float) -> bool:
        """Waits up to `seconds` for the outcome of the oldest batch. Returns whether it is known."""
        return self._batches[0].wait(seconds)

    def pop_oldest(self) -> Batch:
        """Removes the oldest batch and remembers its acknowledged rows."""
        batch = self._batches.popleft()
        self._acknowledged += batch.acknowledged()
        _trace(batch)
        return batch

    def wait_all(self, seconds: float) -> None:
        """Waits up to `seconds` together for the outcome of every batch."""
        deadline = self._clock() + seconds
        for batch in self._batches:
            batch.wait(deadline - self._clock())

    def end(self) -> list[tuple[Record, BaseException]]:
        """Ends the producer, so that nothing is sent any more. Returns the records that failed by themselves."""
        if self._producer is not None:
            self._producer.end()
        refused: list[tuple[Record, BaseException]] = []
        for batch in self._batches:
            batch.wait(END_SECONDS)
            refused += batch.refused()
        return refused

    def abandon(self, reason: str | None) -> None:
        """Ends the producer and forgets what it has not acknowledged; those rows are fetched again.

        `reason` is None at a regular shutdown.
        """
        self.end()
        if self._producer is not None and reason is not None and self._batches:
            metrics.rebuilds.labels(reason=reason).inc()
            logger.warning("kafka_producer_replaced", reason=reason, batches_in_flight=len(self._batches))
        self._producer = None
        while self._batches:
            self.pop_oldest()

    def delete_acknowledged(self) -> None:
        """Deletes the acknowledged rows from the outbox. Raises DatabaseError."""
        delete_rows(self._acknowledged)
        self._acknowledged = []


def _trace(batch: Batch) -> None:
    """A span of each event, from its record in the event store to its acknowledgement by Kafka."""
    if not tracing.is_on():
        return
    now = timezone.now()
    acknowledged = set(batch.acknowledged())
    for record in batch.records:
        headers = dict(record.headers)
        if record.row_id in acknowledged and "traceparent" in headers:
            tracing.record(
                f"relay {record.event_type}",
                kind=tracing.Kind.PRODUCER,
                parent=headers["traceparent"].decode(),
                began_at=min(datetime.fromtimestamp(record.timestamp_ms / 1000, UTC), now),
                ended_at=now,
                event_id=record.event_id.decode(),
                transport="kafka",
            )
