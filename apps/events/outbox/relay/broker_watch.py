"""What the relay knows of Kafka: whether it answers, and whether a producer is stuck although it does."""

import time

import structlog

from apps.events.brokers.kafka.producer import EventProducer
from apps.events.process import heartbeats

logger = structlog.get_logger(__name__)

# Named as readiness shows it.
BROKER = "kafka"

SECONDS_BETWEEN_QUESTIONS = 3.0
ANSWER_SECONDS = 5.0
# A producer whose records get no acknowledgement for this long, although the broker answers questions, is stuck.
STUCK_SECONDS = 60.0
LOST_IDENTITY_SECONDS = 10.0
SECONDS_BETWEEN_REMINDERS = 30.0


class BrokerWatch:
    def __init__(self) -> None:
        self.is_up: bool | None = None
        self._detail = ""
        self._asked_at = 0.0
        self._answered_at = float("-inf")
        self._told_at = 0.0
        self._identity_seen_at = time.monotonic()

    def acknowledged(self) -> None:
        """Kafka has taken records: it is up."""
        self._answered_at = time.monotonic()
        self._is_now(up=True)

    def failed(self, detail: str) -> None:
        """Kafka did not answer, or refused."""
        self._is_now(up=False, detail=detail)

    def ask(self, producer: EventProducer | None) -> None:
        """Asks the broker from time to time whether it is there, without waiting for the answer."""
        now = time.monotonic()
        if producer is None or now - self._asked_at < SECONDS_BETWEEN_QUESTIONS:
            return
        answer = producer.answers(within_seconds=ANSWER_SECONDS)
        if answer is None:  # the question is under way
            return
        self._asked_at = now
        if answer:
            self._answered_at = now
            self._is_now(up=True)
        else:
            self._is_now(up=False, detail="It does not answer.")

    def beat(self) -> None:
        """Writes the state where readiness reads it. Raises DatabaseError."""
        if self.is_up is not None:
            heartbeats.beat(BROKER, "up" if self.is_up else "down", self._detail)

    @property
    def advice(self) -> str:
        """What a person who sees that nothing is sent should look at."""
        if self.is_up is False:
            return f"Kafka: {self._detail} Sending goes on by itself once Kafka takes records."
        return "Kafka answers: see the relay's log, and restart the relay if it stays so."

    def why_stuck(self, producer: EventProducer, *, oldest_seconds: float) -> str | None:
        """Why the producer will never send again, or None where it may."""
        now = time.monotonic()
        if not producer.has_lost_its_identity:
            self._identity_seen_at = now
        elif now - self._identity_seen_at > LOST_IDENTITY_SECONDS:
            return "lost_identity"
        is_answering = now - self._answered_at < ANSWER_SECONDS + SECONDS_BETWEEN_QUESTIONS
        return "no_acknowledgement" if is_answering and oldest_seconds > STUCK_SECONDS else None

    def _is_now(self, *, up: bool, detail: str = "") -> None:
        now = time.monotonic()
        if up and self.is_up is False:
            logger.info("Kafka answers again.")
        elif not up and (self.is_up is not False or now - self._told_at > SECONDS_BETWEEN_REMINDERS):
            self._told_at = now
            logger.warning("Kafka is not there; events wait in the outbox, in order. Nothing is lost.", detail=detail)
        self.is_up, self._detail = up, detail
