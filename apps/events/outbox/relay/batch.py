"""Records that are with the producer, and what became of them."""

import time
from dataclasses import dataclass, field
from typing import Any

from kafka.errors import IllegalStateError

from apps.events.brokers.kafka.fallback import wait_until_done
from apps.events.outbox.relay.query import Record


@dataclass
class Batch:
    """Sent together, in order; `futures` answer to `records` one by one."""

    records: list[Record] = field(default_factory=list)
    futures: list[Any] = field(default_factory=list)
    sent_at: float = field(default_factory=time.monotonic)
    _known: int = 0

    def add(self, record: Record, future: Any) -> None:
        self.records.append(record)
        self.futures.append(future)

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.sent_at

    def wait(self, seconds: float) -> bool:
        """Whether every record has an outcome, waiting for it up to `seconds`."""
        deadline = time.monotonic() + seconds
        while self._known < len(self.futures):
            future = self.futures[self._known]
            if not future.is_done and not wait_until_done(future, deadline - time.monotonic()):
                return False
            self._known += 1
        return True

    def acknowledged(self) -> list[int]:
        """The rows whose events Kafka has."""
        outcomes = zip(self.records, self.futures, strict=True)
        return [record.row_id for record, future in outcomes if future.succeeded()]

    def refused(self) -> list[tuple[Record, BaseException]]:
        """The records that failed themselves; not those that fell with the producer."""
        outcomes = zip(self.records, self.futures, strict=True)
        return [
            (record, future.exception)
            for record, future in outcomes
            if future.failed() and not isinstance(future.exception, IllegalStateError)
        ]
