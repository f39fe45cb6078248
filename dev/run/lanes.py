"""Test sessions side by side: one output that can be read, one exit code, and the certainty that every test ran."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dev.base.progress import DONE, FAILED, say

INCOMPLETE = 1
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_HEADLINE = re.compile(r"=+ (?!test session starts).+ =+")


@dataclass
class Lane:
    """A pytest session. Its progress is shown as it comes, line by line; what pytest says at the end, in one piece."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    _held: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        if self._held or _HEADLINE.fullmatch(_COLOUR.sub("", line)):
            self._held.append(line)
        else:
            say(f"{self.name}│ {line}")

    def conclude(self) -> None:
        say("\n".join(f"{self.name}│ {line}" for line in self._held))


def run(lanes: Sequence[Lane], folder: Path, *, cwd: Path, patience: float) -> int:
    """Runs all lanes to their end: 0 if every test passed and each was run, else the exit code of a lane that failed.

    `folder` is where the sessions note what they took and ran (tests/support/lanes.py). Ctrl-C reaches them too; they
    get `patience` seconds to clear up after themselves.
    """
    began_at = time.monotonic()
    children = [_start(lane, cwd) for lane in lanes]
    readers = [threading.Thread(target=_read, args=(lane, child)) for lane, child in zip(lanes, children, strict=True)]
    for reader in readers:
        reader.start()
    try:
        for child in children:
            child.wait()
    except BaseException:
        _end(children, patience)
        raise
    finally:
        for reader in readers:
            reader.join()
    return _outcome(folder, [child.returncode for child in children], time.monotonic() - began_at)


def _start(lane: Lane, cwd: Path) -> "subprocess.Popen[str]":
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    return subprocess.Popen(
        [*lane.command, *colour],
        cwd=cwd,
        env=dict(lane.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _read(lane: Lane, child: "subprocess.Popen[str]") -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lane.hear(line.rstrip("\n"))
    lane.conclude()


def _end(children: Sequence["subprocess.Popen[str]"], patience: float) -> None:
    deadline = time.monotonic() + patience
    for child in children:
        try:
            child.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _outcome(folder: Path, codes: Sequence[int], seconds: float) -> int:
    reports = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    collected = max((report["collected"] for report in reports), default=0)
    ran = sum(report["ran"] for report in reports)
    failed = sorted(test for report in reports for test in report["failed"])
    bad = next((code for code in codes if code), 0)
    if not bad and (ran != collected or len(reports) != len(codes)):
        bad = INCOMPLETE
    mark = FAILED if bad else DONE
    say(f"  {mark} {ran} of {collected} tests ran in {len(codes)} lanes, {len(failed)} failed, after {seconds:.0f} s.")
    for test in failed:
        say(f"    {test}")
    return bad if bad >= 0 else 128 - bad
