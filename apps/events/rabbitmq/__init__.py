"""Talking to RabbitMQ: connections whose every wait is bounded, confirmed publishing, messages as Celery reads them.

Only background processes do this. A request writes to the outbox and never waits for a broker.
"""

from apps.events.rabbitmq.connection import BrokerUnavailable, TopologyMissing, connect, exists, ready_messages, release
from apps.events.rabbitmq.decoding import be_tolerant
from apps.events.rabbitmq.inspection import Inbound, fault_of
from apps.events.rabbitmq.messages import Outgoing, can_be_sent, outgoing_of, outgoing_signal
from apps.events.rabbitmq.publisher import ConfirmedPublisher, Delivery, Outcome, Verdict
from apps.events.rabbitmq.reader import Lane, QueueReader, body_of
from apps.events.rabbitmq.reader_watch import ReaderWatch
from apps.events.rabbitmq.signals import SignalSender

__all__ = [
    "BrokerUnavailable",
    "ConfirmedPublisher",
    "Delivery",
    "Inbound",
    "Lane",
    "Outcome",
    "Outgoing",
    "QueueReader",
    "ReaderWatch",
    "SignalSender",
    "TopologyMissing",
    "Verdict",
    "body_of",
    "can_be_sent",
    "connect",
    "exists",
    "fault_of",
    "outgoing_of",
    "outgoing_signal",
    "ready_messages",
    "release",
]

be_tolerant()
