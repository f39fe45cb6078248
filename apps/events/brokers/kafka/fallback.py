"""The public API of kafka-python, used if `internals.py` was not checked against the installed version.

Slower, because one record is in flight at a time; less precise, because a stuck producer is noticed only by missing
acknowledgements. The order per key and every delivery guarantee are the same.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import IllegalStateError, KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError

from apps.events.brokers.kafka.admin import admin_client
from apps.events.brokers.kafka.options import BrokerUnavailable, client_options
from apps.messages.cloud_events import Headers

STOP_SECONDS = 3.0
# Upper bound of what a record batch adds to key, value and headers.
RECORD_OVERHEAD_BYTES = 128
_POLL_SECONDS = 0.25


class Answer:
    """A future with the attributes of kafka-python's that callers use."""

    def __init__(self) -> None:
        self.value: Any = None
        self.exception: BaseException | None = None
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._errbacks: list[Callable[[BaseException], Any]] = []

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def succeeded(self) -> bool:
        return self.is_done and self.exception is None

    def failed(self) -> bool:
        return self.is_done and self.exception is not None

    def get(self, timeout: float | None = None) -> Any:
        """Raises TimeoutError, or the exception that the answer failed with."""
        if not self._done.wait(timeout):
            raise TimeoutError(f"No answer within {timeout} s.")
        if self.exception is not None:
            raise self.exception
        return self.value

    def add_errback(self, errback: Callable[[BaseException], Any]) -> Self:
        with self._lock:
            if not self.is_done:
                self._errbacks.append(errback)
                return self
        if self.exception is not None:
            errback(self.exception)
        return self

    def resolve(self, value: Any = None, exception: BaseException | None = None) -> None:
        """Later calls have no effect."""
        with self._lock:
            if self.is_done:
                return
            self.value, self.exception = value, exception
            self._done.set()
        if exception is not None:
            for errback in self._errbacks:
                errback(exception)


@dataclass(frozen=True)
class _Record:
    topic: str
    key: bytes
    value: bytes
    headers: Headers
    timestamp_ms: int
    answer: Answer = field(default_factory=Answer)


class SequentialProducer:
    """KafkaProducer with one record in flight: the next record is sent after the acknowledgement of the one before.

    The public API cannot stop a producer between two records, so a failure must not find a second record in flight.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._kafka = KafkaProducer(**options | {"linger_ms": 0})
        self._client_id: str = options["client_id"]
        self._max_request_bytes: int = options["max_request_size"]
        self._records: queue.SimpleQueue[_Record | None] = queue.SimpleQueue()
        self._is_aborted = threading.Event()
        self._seen_topics: set[str] = set()
        self._metadata: MetadataThread | None = None
        self._thread = threading.Thread(target=self._run, name="kafka-sequential-producer", daemon=True)
        self._thread.start()

    def append(self, topic: str, *, key: bytes, value: bytes, headers: Headers, timestamp_ms: int) -> Answer:
        """The future of the record. Raises MessageSizeTooLargeError, IllegalStateError."""
        if self._is_aborted.is_set():
            raise IllegalStateError("The producer is closed.")
        size = len(key) + len(value) + sum(len(name) + len(content) for name, content in headers)
        if size + RECORD_OVERHEAD_BYTES > self._max_request_bytes:
            raise MessageSizeTooLargeError(f"The record has {size} bytes; the limit is {self._max_request_bytes}.")
        record = _Record(topic, key, value, headers, timestamp_ms)
        self._records.put(record)
        if self._is_aborted.is_set():
            self._fail_pending()
        return record.answer

    def topic_exists(self, topic: str, *, seconds: float) -> bool | None:
        """Whether the topic exists; None if the broker does not answer within `seconds`."""
        if topic in self._seen_topics and self._is_cached(topic):
            return True
        try:
            with admin_client(client_id=f"{self._client_id}-topics", seconds=seconds) as admin:
                [described] = admin.describe_topics([topic])
        except (BrokerUnavailable, KafkaError):
            return None
        if described["error_code"] == UnknownTopicOrPartitionError.errno:
            return False
        if described["error_code"] != 0:
            return None
        self._seen_topics.add(topic)
        return True

    def request_metadata(self) -> Answer:
        """Requests the cluster metadata without blocking, in a thread with a client of its own."""
        if self._metadata is None:
            self._metadata = MetadataThread(f"{self._client_id}-probe")
        return self._metadata.request()

    @property
    def has_lost_producer_id(self) -> bool:
        """Always False: the public API does not tell. Missing acknowledgements show a stuck producer later."""
        return False

    def abort(self) -> None:
        """Stops sending; unacknowledged futures fail. Does not block. The record in flight may still arrive."""
        self._is_aborted.set()
        self._records.put(None)
        self._fail_pending()

    def close(self) -> None:
        """Stops the threads, within STOP_SECONDS if the broker answers. Unacknowledged futures fail."""
        self.abort()
        self._thread.join(2 * _POLL_SECONDS + 1.0)
        if self._metadata is not None:
            self._metadata.close()
        try:
            self._kafka.close(timeout=STOP_SECONDS)
        except KafkaError:
            # The record in flight has no acknowledgement. It may still arrive: consumers deduplicate it by event id.
            return

    def _is_cached(self, topic: str) -> bool:
        try:
            return bool(self._kafka.partitions_for(topic))
        except KafkaError:
            self._seen_topics.discard(topic)
            return False

    def _run(self) -> None:
        while not self._is_aborted.is_set():
            record = self._records.get()
            if record is None or self._is_aborted.is_set():
                if record is not None:
                    record.answer.resolve(exception=IllegalStateError("The producer is closed."))
                break
            self._send(record)
        self._fail_pending()

    def _send(self, record: _Record) -> None:
        try:
            future = self._kafka.send(
                record.topic,
                key=record.key,
                value=record.value,
                headers=record.headers,
                timestamp_ms=record.timestamp_ms,
            )
            while not future.is_done and not self._is_aborted.is_set():
                wait_until_done(future, _POLL_SECONDS)
            if not future.is_done:
                raise IllegalStateError("The producer was closed before the acknowledgement.")
            record.answer.resolve(future.get(0))
        except Exception as error:
            record.answer.resolve(exception=error)

    def _fail_pending(self) -> None:
        while True:
            try:
                record = self._records.get_nowait()
            except queue.Empty:
                break
            if record is not None:
                record.answer.resolve(exception=IllegalStateError("The producer is closed."))
        # Wakes the thread if this call has taken its stop mark.
        self._records.put(None)


class MetadataThread:
    """Requests the cluster metadata in a daemon thread, with a consumer of its own: the public call blocks."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._requests: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="kafka-metadata", daemon=True).start()

    def request(self) -> Answer:
        answer = Answer()
        self._requests.put(answer)
        return answer

    def close(self) -> None:
        """Does not block: the thread ends after the request that it may be waiting for."""
        self._requests.put(None)

    def _run(self) -> None:
        consumer: Any = None
        while (answer := self._requests.get()) is not None:
            try:
                if consumer is None:
                    consumer = KafkaConsumer(**client_options(self._client_id), group_id=None, enable_auto_commit=False)
                answer.resolve(consumer.topics())
            except Exception as error:
                answer.resolve(exception=error)
        if consumer is not None:
            consumer.close(autocommit=False)


def wait_until_done(future: Any, seconds: float) -> bool:
    """Whether the future is done, waiting up to `seconds`. Never raises what the future failed with."""
    try:
        future.get(max(seconds, 0.0))
    except Exception:
        return bool(future.is_done)
    return True
