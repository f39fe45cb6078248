"""Consumers as processes: stopped, killed and frozen in the middle of their work."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID, uuid4

import pytest

from apps.events.models import DeadLetter
from tests.support.consumers import Listener
from tests.support.kafka import fill_outbox
from tests.support.relaying import ROOT, drain, test_environment
from tests.support.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

KEYS = 6
EVENTS = 120
BACKLOG = 6_000


@pytest.fixture
def filled(topic: str, seen: None) -> tuple[str, Listener, list[UUID]]:
    """A topic with events of some keys, and the listener that is to have seen them."""
    keys = [uuid4() for _ in range(KEYS)]
    fill_outbox(topic, keys, EVENTS)
    drain(topic)
    return topic, Listener(), keys


@contextmanager
def _process(listener: Listener, topic: str, seconds: float) -> Iterator["subprocess.Popen[bytes]"]:
    module = "tests.integration.events.consumer_process"
    process = subprocess.Popen(
        [sys.executable, "-m", module, listener.group, topic, str(seconds)], cwd=ROOT, env=test_environment()
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def _has_more_than(least: int, listener: Listener) -> bool:
    return listener.count() > least


def _each_once_in_order(listener: Listener, keys: list[UUID]) -> bool:
    return all(listener.effects(key) == list(range(1, EVENTS // KEYS + 1)) for key in keys)


def test_sigterm_ends_a_consumer_soon_and_the_next_one_goes_on(filled: tuple[str, Listener, list[UUID]]) -> None:
    topic, listener, keys = filled
    with _process(listener, topic, 0.02) as first:
        eventually(lambda: listener.count() > 5)
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=20) == 0
    handled = listener.count()
    assert 5 < handled < EVENTS

    with _process(listener, topic, 0.0):
        eventually(lambda: listener.count() == EVENTS)

    assert _each_once_in_order(listener, keys)


def test_a_consumer_that_is_killed_leaves_nothing_half_done(filled: tuple[str, Listener, list[UUID]]) -> None:
    topic, listener, keys = filled
    with _process(listener, topic, 0.05) as consumer:
        eventually(lambda: listener.count() > 3)
        consumer.send_signal(signal.SIGKILL)
        consumer.wait()

    with _process(listener, topic, 0.0):
        eventually(lambda: listener.count() == EVENTS)

    assert _each_once_in_order(listener, keys)
    assert not DeadLetter.objects.exists()


def test_a_consumer_that_is_killed_again_and_again_works_off_a_backlog(topic: str, seen: None) -> None:
    keys = [uuid4() for _ in range(60)]
    fill_outbox(topic, keys, BACKLOG)
    drain(topic)
    listener = Listener()

    for kill in range(1, 3):
        with _process(listener, topic, 0.0) as consumer:
            eventually(partial(_has_more_than, kill * 1_500, listener))
            consumer.send_signal(signal.SIGKILL)
            consumer.wait()
    with _process(listener, topic, 0.0):
        eventually(lambda: listener.count() == BACKLOG)

    assert all(listener.effects(key) == list(range(1, BACKLOG // 60 + 1)) for key in keys)
    assert not DeadLetter.objects.exists()


def test_a_frozen_consumer_s_partitions_are_taken_over_and_its_awakening_repeats_nothing(
    filled: tuple[str, Listener, list[UUID]],
) -> None:
    topic, listener, keys = filled
    with _process(listener, topic, 0.05) as frozen:
        eventually(lambda: listener.count() > 3)
        frozen.send_signal(signal.SIGSTOP)
        with _process(listener, topic, 0.0):
            eventually(lambda: listener.count() >= EVENTS - 1, seconds=60)
            frozen.send_signal(signal.SIGCONT)
            eventually(lambda: listener.count() == EVENTS, seconds=40)
            time.sleep(3)

    assert _each_once_in_order(listener, keys)
