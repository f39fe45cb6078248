"""A producer that fails as a whole, so that nothing is ever sent after what could not be sent."""

import threading
import time
from functools import lru_cache
from typing import Any

import structlog
from kafka import KafkaProducer
from kafka.errors import IllegalStateError, UnknownTopicOrPartitionError
from kafka.structs import TopicPartition

from apps.events.brokers.kafka.broker_probe import Question, is_answered
from apps.events.brokers.kafka.options import BrokerUnavailable, client_options, producer_network_client
from apps.events.brokers.kafka.partitioner import partition_hash
from apps.messages.cloud_events import Headers

logger = structlog.get_logger(__name__)

# Far beyond any outage. An idempotent producer of kafka-python 3.0 that lets one sent batch reach its time limit is
# stuck for ever, also after the broker is back.
DELIVERY_TIMEOUT_MS = 24 * 60 * 60 * 1000
BATCH_BYTES = 256 * 1024
LINGER_MS = 5
MAX_REQUEST_BYTES = 1024 * 1024
STOP_SECONDS = 3.0


class EventProducer:
    """An idempotent producer, from its making to its end. Its constructor never blocks.

    The first record that fails for good ends it before another record of the same partition leaves: then `failure` is
    set, all futures that are not acknowledged fail, and a new producer has to send them again.
    """

    def __init__(self, client_id: str, *, max_request_bytes: int = MAX_REQUEST_BYTES) -> None:
        self.failure: BaseException | None = None
        self._kafka = _Producer(
            **client_options(client_id) | {"kafka_client": producer_network_client},
            enable_idempotence=True,
            acks="all",
            delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
            max_block_ms=1_000,
            max_request_size=max_request_bytes,
            linger_ms=LINGER_MS,
            batch_size=BATCH_BYTES,
            # A typo in a name must raise, not make a topic.
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
        self._fail_as_one = self._failed
        self._certainly_fits = max_request_bytes // 2
        self._question = Question(self._kafka._metadata, self._kafka._sender.wakeup)

    def send(self, topic: str, *, key: bytes, value: bytes, headers: Headers, timestamp_ms: int) -> Any:
        """The future of the record. Only for topics that `knows`; raises KafkaError, TypeError, ValueError.

        The library's own send() spends a third of its time on finding out what is certain here: that headers are pairs
        of text and bytes, and that a record of ours is small.
        """
        if len(value) > self._certainly_fits:
            self._kafka._ensure_valid_record_size(self._kafka._estimate_size_in_bytes(key, value, headers))
        appended = self._kafka._accumulator.append(self._partition(topic, key), timestamp_ms, key, value, headers)
        future, is_full, is_new, _ = appended
        if is_full or is_new:
            self._kafka._sender.wakeup()
        return future.add_errback(self._fail_as_one)

    def _partition(self, topic: str, key: bytes) -> TopicPartition:
        partitions = self._kafka._metadata._partitions.get(topic)
        if not partitions:
            raise UnknownTopicOrPartitionError(topic)
        return _topic_partition(topic, partition_hash(key) % len(partitions))

    def knows(self, topic: str, *, seconds: float) -> bool:
        """Whether the topic exists, asking the broker where needed. Raises BrokerUnavailable."""
        metadata = self._kafka._metadata
        if metadata.partitions_for_topic(topic) is not None:
            return True
        self._kafka._sender.add_topic(topic)
        deadline = time.monotonic() + seconds
        answers = 0
        # The sender's own thread adds the topic to what is asked for; until then an answer says nothing of it. And the
        # first one afterwards may be to a question that was under way already.
        while answers < 2 and (left := deadline - time.monotonic()) > 0:
            is_asked_for = topic in metadata._topics
            if self._ask(left) and is_asked_for:
                answers += 1
            if metadata.partitions_for_topic(topic) is not None:
                return True
        # Left among the topics it follows, a missing one would be asked for ten times a second, for ever.
        metadata._topics.discard(topic)
        if answers < 2:
            raise BrokerUnavailable(f"Kafka did not answer within {seconds:g} s.")
        return False

    def answers(self, *, within_seconds: float) -> bool | None:
        """Whether the broker answers at all: asks without waiting. None where an answer is still due in time."""
        return self._question.outcome(within_seconds=within_seconds)

    @property
    def has_lost_its_identity(self) -> bool:
        """Whether the library is in the state from which it never sends again."""
        manager = self._kafka._transaction_manager
        return bool(manager._current_state.name == "READY" and not manager.has_producer_id())

    def end(self) -> None:
        """Stops the threads now. What is not acknowledged fails; no record leaves afterwards."""
        self._kafka.close()

    def _failed(self, error: BaseException) -> None:
        # Runs in the sender's thread, before the failed partition is opened for its next batch.
        if self.failure is None and not isinstance(error, IllegalStateError):
            self.failure = error
            self._kafka._sender.force_close()

    def _ask(self, seconds: float) -> bool:
        answered = threading.Event()
        answer = self._question.put()
        answer.add_both(lambda _: answered.set())
        answered.wait(seconds)
        if answer.is_done and not is_answered(answer):
            time.sleep(min(0.1, seconds))
        return is_answered(answer)


@lru_cache(maxsize=1000)
def _topic_partition(topic: str, partition: int) -> TopicPartition:
    return TopicPartition(topic, partition)


class _Producer(KafkaProducer):  # type: ignore[misc]
    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:
        """Unlike the library's: never raises, always ends the thread, and leaves the library's logger alone."""
        self._unregister_cleanup()
        if getattr(self, "_closed", True):
            return
        self._closed = True
        self._sender.force_close()
        if threading.current_thread() is not self._sender:
            self._sender.join(STOP_SECONDS)
            if self._sender.is_alive():
                logger.warning("A Kafka producer's thread does not end.", client_id=self.config["client_id"])
