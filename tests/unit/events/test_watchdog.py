"""A process whose loop hangs ends itself; one that waits does not."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps.events.process import run_loop, watchdog
from apps.events.process.run_loop import Stop, run_until_stopped
from apps.events.process.watchdog import EXIT_CODE, Watchdog

HANGS = """
import sys, time
from pathlib import Path
from apps.events.process import watchdog
watchdog.POLL_SECONDS = 0.05
dog = watchdog.Watchdog(Path(sys.argv[1]), stalled_seconds=0.3)
dog.start()
dog.step_done("other")
dog.ended("other")
while True:
    dog.step_done("main")
    time.sleep(float(sys.argv[2]))
    if sys.argv[2] == "0.1":
        sys.argv[2] = "0.11"
        sys.exit(0)
"""


@pytest.mark.parametrize(("step_seconds", "code"), [("30", EXIT_CODE), ("0.1", 0)])
def test_a_process_with_a_loop_that_hangs_ends(tmp_path: Path, step_seconds: str, code: int) -> None:
    command = [sys.executable, "-c", HANGS, str(tmp_path / "progress"), step_seconds]

    done = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)

    assert done.returncode == code, done.stderr
    assert ("process_hangs" in done.stdout + done.stderr) is bool(code)


def test_a_loop_notes_its_steps_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dog = Watchdog(tmp_path, stalled_seconds=60)
    monkeypatch.setattr(run_loop, "process_watchdog", lambda: dog)
    stop, seen = Stop(), []

    def step() -> float:
        seen.append([path.name for path in tmp_path.iterdir()])
        stop.request()
        return 0.0

    run_until_stopped(step, stop=stop)

    assert seen == [["MainThread"]]
    assert list(tmp_path.iterdir()) == []


def test_a_loop_that_waits_longer_than_a_step_may_take_has_not_stalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = Watchdog(tmp_path, stalled_seconds=0.3)
    monkeypatch.setattr(run_loop, "process_watchdog", lambda: dog)
    monkeypatch.setattr(run_loop, "_NOTED_SECONDS", 0.05)
    stop = Stop()
    stalled: list[str] = []

    def step() -> float:
        return 0.6

    class Watching(Watchdog):
        def step_done(self, loop: str) -> None:
            stalled.extend(self.stalled())
            super().step_done(loop)
            if time.monotonic() > until:
                stop.request()

    until = time.monotonic() + 0.7
    monkeypatch.setattr(run_loop, "process_watchdog", lambda: Watching(tmp_path, stalled_seconds=0.3))
    run_until_stopped(step, stop=stop)

    assert stalled == []


def test_nothing_is_written_where_no_folder_is_named() -> None:
    dog = watchdog.Watchdog(None, stalled_seconds=1)
    dog.step_done("main")
    dog.start()

    assert dog.stalled() == []
