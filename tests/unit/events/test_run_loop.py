"""The run loop steps until a stop is requested, and waits for a database that is down."""

import os
import signal
import threading
import time

import pytest
from django.db import OperationalError

from apps.events.process.backoff import Backoff
from apps.events.process.run_loop import DatabaseRetry, Stop, run_until_stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_loop_in_the_middle_of_its_wait(number: signal.Signals) -> None:
    def step() -> float:
        threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
        return 60.0

    began = time.monotonic()
    run_until_stopped(step)
    assert time.monotonic() - began < 5


def test_the_loop_ends_by_the_stop_it_was_given() -> None:
    stop = Stop()
    steps = 0

    def step() -> float:
        nonlocal steps
        steps += 1
        assert steps < 10, "the loop does not look at the stop that it was given"
        if steps == 3:
            stop.request()
        return 0.0

    run_until_stopped(step, stop=stop)

    assert steps == 3
    stop.close()


def test_the_former_signal_handlers_are_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = Stop()

    def step() -> float:
        stop.request()
        return 0.0

    run_until_stopped(step, stop=stop)

    assert signal.getsignal(signal.SIGTERM) is before
    stop.close()


def test_a_step_that_finds_the_database_gone_is_called_again() -> None:
    calls = 0
    stop = Stop()

    def step() -> float:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise OperationalError("terminating connection due to administrator command")
        stop.request()
        return 0.0

    run_until_stopped(step, stop=stop, backoff=Backoff(first_seconds=0.001))

    assert calls == 4
    stop.close()


def test_the_pauses_grow_to_a_limit_and_start_anew_after_a_success() -> None:
    retry = DatabaseRetry()
    error = OperationalError("gone")
    assert [retry.failed(error) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    retry.worked()
    assert retry.failed(error) == 0.5


def test_any_other_error_ends_the_loop() -> None:
    def step() -> float:
        raise KeyError("a mistake in the program")

    with pytest.raises(KeyError):
        run_until_stopped(step)


def test_a_stop_wakes_every_thread_that_waits_for_it() -> None:
    stop = Stop()
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(stop.wait(30.0))) for _ in range(3)]
    for thread in threads:
        thread.start()

    stop.request()

    for thread in threads:
        thread.join(5)
    assert woken == [True, True, True]
    stop.close()
