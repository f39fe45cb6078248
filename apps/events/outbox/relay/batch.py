"""A batch of Kafka records that were handed to the producer, and their outcomes."""

import time
from dataclasses import dataclass, field
from typing import Any

from kafka.errors import IllegalStateError

from apps.events.brokers.kafka.fallback import wait_until_done
from apps.events.outbox.relay.query import Record


@dataclass
class Batch:
    """Records sent together, in order, with one future each. `sent_at` is monotonic."""

    sent_at: float
    records: list[Record] = field(default_factory=list)
    futures: list[Any] = field(default_factory=list)
    _known: int = 0

    def add(self, record: Record, future: Any) -> None:
        self.records.append(record)
        self.futures.append(future)

    def wait(self, seconds: float) -> bool:
        """Waits up to `seconds`. Returns whether every record has an outcome."""
        deadline = time.monotonic() + seconds
        while self._known < len(self.futures):
            future = self.futures[self._known]
            if not future.is_done and not wait_until_done(future, deadline - time.monotonic()):
                return False
            self._known += 1
        return True

    def acknowledged(self) -> list[int]:
        """The ids of the rows that Kafka has acknowledged."""
        outcomes = zip(self.records, self.futures, strict=True)
        return [record.row_id for record, future in outcomes if future.succeeded()]

    def refused(self) -> list[tuple[Record, BaseException]]:
        """The records that failed by themselves, without those that failed because the producer was closed."""
        outcomes = zip(self.records, self.futures, strict=True)
        return [
            (record, future.exception)
            for record, future in outcomes
            if future.failed() and not isinstance(future.exception, IllegalStateError)
        ]
