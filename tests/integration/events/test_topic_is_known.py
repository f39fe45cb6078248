"""Whether Kafka has a topic is judged by answers about that topic alone, however slow the producer's own thread is."""

import threading
from typing import Any

import pytest

from apps.events.brokers.kafka.producer import EventProducer

LATE_SECONDS = 0.7


@pytest.fixture
def producer() -> Any:
    made = EventProducer("test")
    yield made
    made.end()


def test_a_topic_is_known_although_the_sender_is_late_to_ask_for_it(
    producer: EventProducer, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = producer._client._kafka._sender
    add = sender.add_topic

    def add_late(name: str) -> None:
        threading.Timer(LATE_SECONDS, add, args=(name,)).start()

    monkeypatch.setattr(sender, "add_topic", add_late)

    assert producer.knows(topic, seconds=10)
