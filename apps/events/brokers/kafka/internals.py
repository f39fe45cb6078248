"""The only module that uses private parts of kafka-python, checked against version 3.0.12.

Which parts, and why:

- `kafka.net.compat.KafkaNetClient` and its `_net`: connect timeouts have no public option, and a constructor that
  fails leaves its thread and four file descriptors open.
- `KafkaNetClient.connection_delay`: the sender reads seconds as milliseconds, and spins while a broker is frozen.
- `KafkaProducer._accumulator.append`: `send()` spends a third of its time on validating what is valid here anyway.
- `KafkaProducer._sender.force_close`, `_closed`, `_unregister_cleanup`: `close()` flushes first, so that it raises and
  leaves its thread running if the broker does not answer.
- `KafkaProducer._metadata`, `_sender.add_topic`, `KafkaConsumer._cluster`: the public calls for metadata block, and
  they cannot tell a missing topic from a silent broker.
- `KafkaProducer._transaction_manager`: shows that an idempotent producer has lost its producer id and is stuck.

If another version is installed, `are_checked()` is false and the public API is used instead (`fallback.py`), which is
slower or less precise. To check a new version, set CHECKED_VERSION and run the tests in
tests/integration/events/test_kafka_*.py and test_relay*.py.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import kafka
import structlog
from kafka import KafkaProducer
from kafka.errors import UnknownTopicOrPartitionError
from kafka.structs import TopicPartition

from apps.events.brokers.kafka.broker_probe import has_answer
from apps.events.brokers.kafka.partitioner import partition_hash
from apps.messages.cloud_events import Headers

logger = structlog.get_logger(__name__)

CHECKED_VERSION = "3.0.12"
INSTALLED_VERSION: str = kafka.__version__

CONNECT_TIMEOUT_MS = 4_000
MIN_SENDER_DELAY_MS = 20.0
STOP_SECONDS = 3.0

_CONNECT_TIMEOUTS = {
    "socket_connection_setup_timeout_ms": CONNECT_TIMEOUT_MS,
    "socket_connection_setup_timeout_max_ms": CONNECT_TIMEOUT_MS,
}


def are_checked() -> bool:
    """Whether the installed version is the one that this module was checked against."""
    return INSTALLED_VERSION == CHECKED_VERSION


def network_options() -> dict[str, Any]:
    """Constructor options that bound the time to connect; none if the installed version is not checked."""
    return {"kafka_client": _network_client} if are_checked() else {}


@contextmanager
def closing_on_failure() -> Iterator[dict[str, Any]]:
    """Yields options for a client's constructor. If the block raises, the client's thread and sockets are closed.

    Yields no options if the installed version is not checked: a failed constructor may then leave both open.
    """
    if not are_checked():
        yield {}
        return
    created: list[Any] = []

    def create(**configs: Any) -> Any:
        created.append(_network_client(**configs))
        return created[-1]

    try:
        yield {"kafka_client": create}
    except BaseException:
        for client in created:
            client.close()
            client._net.stop()
        raise


def metadata_requests(consumer: Any) -> Callable[[], Any]:
    """A function that requests a consumer's cluster metadata without blocking and returns the library's future.

    The consumer's own poll() sends the request.
    """
    request: Callable[[], Any] = consumer._cluster.request_update
    return request


class PipelinedProducer:
    """KafkaProducer with many batches in flight and non-blocking control. See `EventProducer`, its only user."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._kafka = _Producer(**options | {"kafka_client": _producer_network_client})
        self._always_fits = options["max_request_size"] // 2

    def append(self, topic: str, *, key: bytes, value: bytes, headers: Headers, timestamp_ms: int) -> Any:
        """The future of the record. Raises KafkaError, TypeError, ValueError."""
        if len(value) > self._always_fits:
            self._kafka._ensure_valid_record_size(self._kafka._estimate_size_in_bytes(key, value, headers))
        appended = self._kafka._accumulator.append(self._partition(topic, key), timestamp_ms, key, value, headers)
        future, is_full, is_new, _ = appended
        if is_full or is_new:
            self._kafka._sender.wakeup()
        return future

    def topic_exists(self, topic: str, *, seconds: float) -> bool | None:
        """Whether the topic exists; None if the broker does not answer within `seconds`."""
        metadata = self._kafka._metadata
        if metadata.partitions_for_topic(topic) is not None:
            return True
        self._kafka._sender.add_topic(topic)
        deadline = time.monotonic() + seconds
        answers = 0
        # The sender's thread adds the topic to the next metadata request, so earlier answers do not count. The first
        # answer after that may belong to a request that was already in flight, so a second one is needed.
        while answers < 2 and (left := deadline - time.monotonic()) > 0:
            is_requested = topic in metadata._topics
            if self._wait_for_metadata(left) and is_requested:
                answers += 1
            if metadata.partitions_for_topic(topic) is not None:
                return True
        # A missing topic that stays in this set would be requested ten times per second.
        metadata._topics.discard(topic)
        return None if answers < 2 else False

    def request_metadata(self) -> Any:
        """Requests the cluster metadata without blocking. Returns the library's future."""
        answer = self._kafka._metadata.request_update()
        self._kafka._sender.wakeup()
        return answer

    @property
    def has_lost_producer_id(self) -> bool:
        """Whether the library is in the state from which it never sends again."""
        manager = self._kafka._transaction_manager
        return bool(manager._current_state.name == "READY" and not manager.has_producer_id())

    def abort(self) -> None:
        """Stops sending; unacknowledged futures fail. Does not block, and may be called in the sender's thread."""
        self._kafka._sender.force_close()

    def close(self) -> None:
        """Stops the threads, within STOP_SECONDS. Unacknowledged futures fail, and no record is sent afterwards."""
        self._kafka.close()

    def _partition(self, topic: str, key: bytes) -> TopicPartition:
        partitions = self._kafka._metadata._partitions.get(topic)
        if not partitions:
            raise UnknownTopicOrPartitionError(topic)
        return _topic_partition(topic, partition_hash(key) % len(partitions))

    def _wait_for_metadata(self, seconds: float) -> bool:
        is_done = threading.Event()
        answer = self.request_metadata()
        answer.add_both(lambda _: is_done.set())
        is_done.wait(seconds)
        if answer.is_done and not has_answer(answer):
            time.sleep(min(0.1, seconds))
        return has_answer(answer)


@lru_cache(maxsize=1000)
def _topic_partition(topic: str, partition: int) -> TopicPartition:
    return TopicPartition(topic, partition)


@lru_cache(maxsize=1)
def _net_client_class() -> Any:
    # Imported late: another version may not have this module.
    from kafka.net.compat import KafkaNetClient

    return KafkaNetClient


@lru_cache(maxsize=1)
def _producer_net_client_class() -> Any:
    class ProducerNetClient(_net_client_class()):  # type: ignore[misc]
        def connection_delay(self, node_id: Any) -> float:
            """How long the sender waits for a connection, in milliseconds.

            The library returns seconds, or 0 while it connects; its sender reads the number as milliseconds and spins.
            """
            return max(1000 * float(super().connection_delay(node_id)), MIN_SENDER_DELAY_MS)

    return ProducerNetClient


def _network_client(**configs: Any) -> Any:
    return _net_client_class()(**_CONNECT_TIMEOUTS, **configs)


def _producer_network_client(**configs: Any) -> Any:
    return _producer_net_client_class()(**_CONNECT_TIMEOUTS, **configs)


class _Producer(KafkaProducer):  # type: ignore[misc]
    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:
        """Never raises, always ends the thread, and does not replace the library's logger."""
        self._unregister_cleanup()
        if getattr(self, "_closed", True):
            return
        self._closed = True
        self._sender.force_close()
        if threading.current_thread() is not self._sender:
            self._sender.join(STOP_SECONDS)
            if self._sender.is_alive():
                logger.warning("kafka_producer_thread_alive", client_id=self.config["client_id"])
