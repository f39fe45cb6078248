"""A suite in two lanes: every test runs once, a failure is a failure of the whole, and the output can be read."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from dev.base.profile import ROOT
from dev.run import lanes
from dev.run.lanes import Lane

TEST = """
import pathlib, pytest, time

@pytest.fixture(scope="module")
def of_the_module():
    note("set up")
    yield
    note("torn down")

@pytest.mark.parametrize("number", range(3))
def test_of_{name}(of_the_module, number):
    wait_for({awaited!r})
    note(number)
    assert {holds}

def note(what):
    with pathlib.Path({diary!r}).open("a") as diary:
        diary.write(f"{name} {{what}}\\n")

def wait_for(awaited):
    deadline = time.monotonic() + 30
    while not set(awaited) <= set(pathlib.Path({diary!r}).read_text().splitlines()):
        assert time.monotonic() < deadline, "what the other lane should do was not done"
        time.sleep(0.01)
"""


class Suite:
    """Small test files below a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.notes, self.diary = folder / "tree", folder / "notes", folder / "diary"
        self.tree.mkdir()
        self.notes.mkdir()
        self.diary.touch()

    def add(self, name: str, *, holds: str = "True", awaited: Sequence[str] = ()) -> None:
        """A file whose tests wait until `awaited` is in the diary, and then say whether `holds` is true."""
        text = TEST.format(name=name, holds=holds, awaited=list(awaited), diary=str(self.diary))
        (self.tree / f"test_{name}.py").write_text(text)

    def run(self) -> int:
        # Nothing of this project but the plugin: neither its settings nor installed plugins.
        own = ["-c", os.devnull, "--rootdir", str(self.tree), "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *own, "-p", "tests.support.lanes", "--lanes-folder", str(self.notes)]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        started = [
            Lane("1", [*command, str(self.tree)], environment),
            Lane("2", [*command, "--lane-from-the-back", str(self.tree)], environment),
        ]
        return lanes.run(started, self.notes, cwd=ROOT, patience=5)

    def ran(self) -> Counter[str]:
        return Counter(self.diary.read_text().splitlines())


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


def test_each_test_runs_once_and_a_module_is_set_up_once(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"file_{number}" for number in range(6)]
    for name, other in zip(names, reversed(names), strict=True):
        suite.add(name, awaited=[f"{other} set up"])

    assert suite.run() == 0

    what = ("set up", "0", "1", "2", "torn down")
    assert suite.ran() == Counter(f"{name} {each}" for name in names for each in what)
    output = capsys.readouterr().out
    assert "18 of 18 tests ran in 2 lanes, 0 failed" in output
    assert {line[:2] for line in output.splitlines() if "passed in" in line} == {"1│", "2│"}


def test_a_long_file_is_left_to_one_lane_while_the_other_takes_the_rest(
    suite: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    # Long is what ends after all others, which begin after it: only two lanes can do that.
    short = [f"short_{number}" for number in range(4)]
    suite.add("a_long", awaited=[f"{name} torn down" for name in short])
    for name in short:
        suite.add(name, awaited=["a_long set up"])

    assert suite.run() == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("1│") and "3 passed" in line]
    assert [line for line in lines if line.startswith("2│") and "12 passed" in line]


@pytest.mark.parametrize("failing", ["a_first", "z_last"])
def test_a_failure_in_either_lane_fails_the_whole_and_what_pytest_says_of_it_stays_together(
    suite: Suite, failing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a_first", "middle", "z_last"):
        suite.add(name, holds="number != 1" if name == failing else "True")

    assert suite.run() == 1

    lines = capsys.readouterr().out.splitlines()
    first = next(number for number, line in enumerate(lines) if "= FAILURES =" in line)
    last = next(number for number, line in enumerate(lines) if "1 failed, " in line and number > first)
    assert len({line[:2] for line in lines[first : last + 1]}) == 1
    assert "9 of 9 tests ran in 2 lanes, 1 failed" in lines[-2]
    assert lines[-1].strip() == f"test_{failing}.py::test_of_{failing}[1]"


def test_a_file_that_cannot_be_imported_fails_the_whole(suite: Suite) -> None:
    suite.add("fine")
    (suite.tree / "test_broken.py").write_text("import nothing_of_this_name\n")

    assert suite.run() != 0
    assert suite.ran() == Counter()


def test_tests_that_no_lane_ran_fail_the_whole(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("first", "last"):
        suite.add(name)
    # As where a session took a file and its report is of another tree.
    (suite.notes / "0-test_first-3").touch()

    assert suite.run() == lanes.INCOMPLETE

    assert "3 of 6 tests ran in 2 lanes, 0 failed" in capsys.readouterr().out


def test_a_lane_that_is_killed_fails_the_whole(suite: Suite) -> None:
    suite.add("deadly", holds="__import__('os').kill(__import__('os').getpid(), 9)")
    suite.add("fine")

    assert suite.run() == 128 + 9
