"""Nudges from the scheduler to the workers: confirmed, in bounded time, never stored."""

from apps.events.brokers.rabbitmq.connection import BrokerUnavailable, TopologyMissing
from apps.events.brokers.rabbitmq.messages import outgoing_signal
from apps.events.brokers.rabbitmq.publisher import ConfirmedPublisher, Verdict
from apps.messages.base import WakeUp


class SignalSender:
    """Sends signals over one connection of its own. Not for several threads; make it after a fork."""

    def __init__(self, name: str = "signals") -> None:
        self._publisher = ConfirmedPublisher(name)

    def send(self, signal: WakeUp, *, expires_seconds: float) -> None:
        """Sends one; a worker that gets it later than `expires_seconds` ignores it. Raises BrokerUnavailable."""
        self.send_all([signal], expires_seconds=expires_seconds)

    def send_all(self, signals: list[WakeUp], *, expires_seconds: float) -> None:
        """Sends many at the price of little more than one. Raises BrokerUnavailable; some may have been sent."""
        outcome = self._publisher.publish([outgoing_signal(each, expires_seconds=expires_seconds) for each in signals])
        if outcome.error is not None:
            raise outcome.error
        if Verdict.UNROUTABLE in outcome.verdicts:
            raise TopologyMissing("No queue takes this signal: run `manage.py declare_topology`.")
        if set(outcome.verdicts) - {Verdict.CONFIRMED}:
            raise BrokerUnavailable("RabbitMQ refused the signal.")

    def keep_alive(self) -> None:
        """Keeps an idle connection alive: call it about once a second. Raises BrokerUnavailable."""
        self._publisher.keep_alive()

    def close(self) -> None:
        self._publisher.close()
