"""State of Kafka as the relay sees it: whether it answers, and whether the producer is stuck although it does."""

import time
from collections.abc import Callable

import structlog

from apps.events.brokers.kafka.producer import EventProducer
from apps.events.process import heartbeats

logger = structlog.get_logger(__name__)

# The name under which readiness shows it.
BROKER = "kafka"

SECONDS_BETWEEN_PROBES = 3.0
ANSWER_SECONDS = 5.0
# A producer without an acknowledgement for this long, although the broker answers probes, is stuck.
STUCK_SECONDS = 60.0
LOST_IDENTITY_SECONDS = 10.0
SECONDS_BETWEEN_REMINDERS = 30.0


class BrokerWatch:
    """`clock` is monotonic."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_up: bool | None = None
        self._clock = clock
        self._detail = ""
        self._asked_at = 0.0
        self._answered_at = float("-inf")
        self._logged_at = 0.0
        self._identity_seen_at = clock()

    def acknowledged(self) -> None:
        """Kafka has acknowledged records, so it is up."""
        self._answered_at = self._clock()
        self._set(up=True)

    def failed(self, detail: str) -> None:
        """Kafka did not answer, or refused."""
        self._set(up=False, detail=detail)

    def ask(self, producer: EventProducer) -> None:
        """Probes the broker every 3 s, without waiting for the answer."""
        now = self._clock()
        if now - self._asked_at < SECONDS_BETWEEN_PROBES:
            return
        answer = producer.answers(within_seconds=ANSWER_SECONDS)
        if answer is None:  # a probe is still waiting for its answer
            return
        self._asked_at = now
        if answer:
            self._answered_at = now
            self._set(up=True)
        else:
            self._set(up=False, detail="It does not answer.")

    def beat(self) -> None:
        """Writes the state as a heartbeat, for readiness. Raises DatabaseError."""
        if self.is_up is not None:
            heartbeats.beat(BROKER, "up" if self.is_up else "down", self._detail)

    @property
    def advice(self) -> str:
        """What a person who sees that nothing is sent should look at."""
        if self.is_up is False:
            return f"Kafka: {self._detail} Sending goes on by itself once Kafka takes records."
        return "Kafka answers: see the relay's log, and restart the relay if it stays so."

    def why_stuck(self, producer: EventProducer, *, oldest_seconds: float) -> str | None:
        """Why the producer will never send again, as a label for metrics; None if it may.

        `oldest_seconds` is the age of its oldest batch without acknowledgement.
        """
        now = self._clock()
        if not producer.has_lost_its_identity:
            self._identity_seen_at = now
        elif now - self._identity_seen_at > LOST_IDENTITY_SECONDS:
            return "lost_identity"
        is_answering = now - self._answered_at < ANSWER_SECONDS + SECONDS_BETWEEN_PROBES
        return "no_acknowledgement" if is_answering and oldest_seconds > STUCK_SECONDS else None

    def _set(self, *, up: bool, detail: str = "") -> None:
        now = self._clock()
        if up and self.is_up is False:
            logger.info("kafka_available_again")
        elif not up and (self.is_up is not False or now - self._logged_at > SECONDS_BETWEEN_REMINDERS):
            self._logged_at = now
            logger.warning("kafka_unavailable", detail=detail, advice="Events wait in the outbox, in order.")
        self.is_up, self._detail = up, detail
