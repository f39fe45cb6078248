"""A prefetched result is used only while its spec is valid, and a failed prefetch costs nothing but time."""

import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError

from apps.events.outbox.prefetch import Prefetcher


def fetch(spec: int) -> str:
    if spec < 0:
        raise OperationalError("the database is gone")
    return f"{spec} in {threading.current_thread().name}"


@pytest.fixture
def prefetcher() -> Iterator[Prefetcher[int, str]]:
    made = Prefetcher(fetch, name="ahead")
    yield made
    made.close()


def test_it_is_fetched_in_a_thread_of_its_own_and_taken_once(prefetcher: Prefetcher[int, str]) -> None:
    prefetcher.start(7)

    assert prefetcher.take(lambda spec: spec == 7) == "7 in ahead_0"
    assert prefetcher.take(lambda _: True) is None


def test_what_is_no_longer_wanted_is_forgotten(prefetcher: Prefetcher[int, str]) -> None:
    prefetcher.start(7)

    assert prefetcher.take(lambda spec: spec == 8) is None
    assert prefetcher.take(lambda _: True) is None


def test_after_forget_nothing_is_there(prefetcher: Prefetcher[int, str]) -> None:
    prefetcher.start(7)
    prefetcher.forget()

    assert prefetcher.take(lambda _: True) is None


def test_a_lost_connection_of_the_thread_costs_only_the_reading_ahead(prefetcher: Prefetcher[int, str]) -> None:
    prefetcher.start(-1)
    assert prefetcher.take(lambda _: True) is None

    prefetcher.start(2)
    assert prefetcher.take(lambda _: True) == "2 in ahead_0"


def test_its_thread_ends_with_it(prefetcher: Prefetcher[int, str]) -> None:
    prefetcher.start(1)
    prefetcher.close()

    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")] == []
