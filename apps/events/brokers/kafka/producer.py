"""Idempotent producer that fails as a whole: after the first record that fails, no later record is sent."""

from typing import Any

from kafka.errors import IllegalStateError

from apps.events.brokers.kafka import internals
from apps.events.brokers.kafka.broker_probe import BrokerProbe
from apps.events.brokers.kafka.fallback import SequentialProducer
from apps.events.brokers.kafka.options import BrokerUnavailable, client_options
from apps.messages.cloud_events import Headers

# Longer than any outage: in kafka-python 3.0, an idempotent producer never sends again after a batch that was already
# sent has reached this timeout, even when the broker is back.
DELIVERY_TIMEOUT_MS = 24 * 60 * 60 * 1000
BATCH_BYTES = 256 * 1024
LINGER_MS = 5
MAX_REQUEST_BYTES = 1024 * 1024


class EventProducer:
    """An idempotent producer. The constructor does not block. Not thread-safe; create it after a fork.

    The first record that fails permanently stops the producer before another record of the same partition is sent.
    Then `failure` is set, every unacknowledged future fails, and a new producer has to send those records again.
    """

    def __init__(self, client_id: str, *, max_request_bytes: int = MAX_REQUEST_BYTES) -> None:
        self.failure: BaseException | None = None
        options = client_options(client_id) | {
            "enable_idempotence": True,
            "acks": "all",
            "delivery_timeout_ms": DELIVERY_TIMEOUT_MS,
            "max_block_ms": 1_000,
            "max_request_size": max_request_bytes,
            "linger_ms": LINGER_MS,
            "batch_size": BATCH_BYTES,
            # A misspelled name must raise instead of creating a topic.
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }
        self._client: internals.PipelinedProducer | SequentialProducer
        self._client = internals.PipelinedProducer(options) if internals.are_checked() else SequentialProducer(options)
        self._errback = self._failed
        self._probe = BrokerProbe(self._client.request_metadata)

    def send(self, topic: str, *, key: bytes, value: bytes, headers: Headers, timestamp_ms: int) -> Any:
        """The future of the record. Call it only for topics that `knows`. Raises KafkaError, TypeError, ValueError."""
        future = self._client.append(topic, key=key, value=value, headers=headers, timestamp_ms=timestamp_ms)
        return future.add_errback(self._errback)

    def knows(self, topic: str, *, seconds: float) -> bool:
        """Whether the topic exists; asks the broker if necessary. Raises BrokerUnavailable."""
        exists = self._client.topic_exists(topic, seconds=seconds)
        if exists is None:
            raise BrokerUnavailable(f"Kafka did not answer within {seconds:g} s.")
        return exists

    def answers(self, *, within_seconds: float) -> bool | None:
        """Whether the broker answers, without blocking; None while an answer is still due."""
        return self._probe.result(within_seconds=within_seconds)

    @property
    def has_lost_its_identity(self) -> bool:
        """Whether the producer has lost its producer id, so that the library never sends again."""
        return self._client.has_lost_producer_id

    def end(self) -> None:
        """Stops the threads within a few seconds. Unacknowledged futures fail."""
        self._client.close()

    def _failed(self, error: BaseException) -> None:
        # Runs in the sender's thread, before the failed partition may send its next batch.
        if self.failure is None and not isinstance(error, IllegalStateError):
            self.failure = error
            self._client.abort()
