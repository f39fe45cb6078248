"""Wake-up messages from the scheduler to the workers: published with confirms and a timeout, never stored."""

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable, TopologyMissing
from apps.events.brokers.rabbitmq.messages import outgoing_wake_up
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.messages.base import WakeUp


class WakeUpSender:
    """Sends wake-up messages over a connection of its own. Not thread-safe; create it after a fork."""

    def __init__(self, name: str = "wake-ups") -> None:
        self._publisher = ConfirmedPublisher(name)

    def send(self, wake_up: WakeUp, *, expires_seconds: float) -> None:
        """Sends one. A worker that receives it later than `expires_seconds` ignores it. Raises BrokerUnavailable."""
        self.send_all([wake_up], expires_seconds=expires_seconds)

    def send_all(self, wake_ups: list[WakeUp], *, expires_seconds: float) -> None:
        """Sends several in one batch. Raises BrokerUnavailable; some may have been sent then."""
        outcome = self._publisher.publish(
            [outgoing_wake_up(each, expires_seconds=expires_seconds) for each in wake_ups]
        )
        if outcome.error is not None:
            raise outcome.error
        if Verdict.UNROUTABLE in outcome.verdicts:
            raise TopologyMissing("No queue is bound for this wake-up message: run `manage.py declare_topology`.")
        if set(outcome.verdicts) - {Verdict.CONFIRMED}:
            raise BrokerUnavailable("RabbitMQ refused the wake-up message.")

    def keep_alive(self) -> None:
        """Keeps an idle connection alive: call it about once per second. Raises BrokerUnavailable."""
        self._publisher.keep_alive()

    def close(self) -> None:
        self._publisher.close()
