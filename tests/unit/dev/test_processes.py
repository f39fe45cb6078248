import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dev.base import processes
from dev.base.profile import Profile

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def profile(make_profile: Callable[..., Profile]) -> Profile:
    made = make_profile("run")
    made.create()
    return made


@pytest.fixture
def sleeper(profile: Profile, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    child = processes.spawn(profile, "sleeper", SLEEP, environment=dict(os.environ), folder=tmp_path)
    yield child
    child.kill()
    child.wait()


def test_a_process_is_found_by_the_mark_it_was_started_with(
    profile: Profile, sleeper: "subprocess.Popen[bytes]", make_profile: Callable[..., Profile]
) -> None:
    assert [(each.pid, each.name) for each in processes.running(profile)] == [(sleeper.pid, "sleeper")]
    assert processes.running(make_profile("test")) == []


def test_a_variable_is_the_one_that_the_process_was_started_with(profile: Profile, tmp_path: Path) -> None:
    environment = {**os.environ, "MARKET_DATA": "/data/ETHUSD_60.csv", "MARKET_DATA_2": "other"}
    child = processes.spawn(profile, "sleeper", SLEEP, environment=environment, folder=tmp_path)
    try:
        assert processes.variable(child.pid, "MARKET_DATA") == "/data/ETHUSD_60.csv"
        assert processes.variable(child.pid, "MARKET") is None
    finally:
        child.kill()
        child.wait()


def test_its_children_are_found_too(profile: Profile, tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    parent = processes.spawn(
        profile, "parent", [sys.executable, "-c", script], environment=dict(os.environ), folder=tmp_path
    )
    try:
        deadline = 100
        while len(processes.running(profile)) < 2 and deadline:
            deadline -= 1
            parent_is_dead = parent.poll()
            assert parent_is_dead is None
            os.sched_yield()
            processes.wait_until_gone(processes.running(profile), 0.05)
        assert [each.name for each in processes.running(profile)] == ["parent", "parent"]
    finally:
        processes.stop(processes.running(profile), first=signal.SIGKILL, seconds=5)
        parent.wait()

    assert processes.running(profile) == []


def test_a_number_that_was_given_to_another_process_is_not_signalled(
    profile: Profile, sleeper: "subprocess.Popen[bytes]"
) -> None:
    (found,) = processes.running(profile)
    stale = replace(found, started=found.started - 1)

    stale.send(signal.SIGKILL)

    assert not stale.is_alive()
    assert sleeper.poll() is None


def test_one_that_does_not_listen_is_killed(profile: Profile, tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    child = processes.spawn(
        profile, "deaf", [sys.executable, "-c", script], environment=dict(os.environ), folder=tmp_path
    )
    while "deaf" not in profile.log("deaf").read_text():
        assert child.poll() is None

    killed = processes.stop(processes.running(profile), first=signal.SIGTERM, seconds=0.3)

    assert [each.pid for each in killed] == [child.pid]
    assert child.wait() == -signal.SIGKILL


def test_a_frozen_process_ends_when_it_is_stopped(profile: Profile, sleeper: "subprocess.Popen[bytes]") -> None:
    os.kill(sleeper.pid, signal.SIGSTOP)

    assert processes.stop(processes.running(profile), first=signal.SIGTERM, seconds=5) == []
    assert sleeper.wait() == -signal.SIGTERM


def test_the_log_of_the_start_before_is_kept_beside_the_new_one(profile: Profile, tmp_path: Path) -> None:
    for text in ("first", "second"):
        command = [sys.executable, "-c", f"print('{text}')"]
        processes.spawn(profile, "printer", command, environment=dict(os.environ), folder=tmp_path).wait()

    assert profile.log("printer").read_text() == "second\n"
    assert profile.log("printer").with_suffix(".log.1").read_text() == "first\n"
