"""Test sessions side by side do not choose each other's ports, also before anything listens on them."""

import subprocess
import sys
from pathlib import Path

from dev.base.profile import ROOT
from tests.support.ports import reserve

ANOTHER_SESSION = """
import sys
from pathlib import Path
from tests.support.ports import reserve
print(reserve(set(map(int, sys.argv[2:])), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def another_session(folder: Path, *ports: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", ANOTHER_SESSION, str(folder), *map(str, ports)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(session: "subprocess.Popen[str]") -> str:
    assert session.stdout is not None
    return session.stdout.readline().strip()


def test_ports_of_another_session_are_refused_and_nothing_of_the_rest_is_kept(tmp_path: Path) -> None:
    with another_session(tmp_path, 41, 42) as first:
        assert said(first) == "True"

        assert not reserve({40, 41}, tmp_path)
        with another_session(tmp_path, 40) as second:
            assert said(second) == "True"
            second.communicate()
        first.communicate()


def test_ports_are_free_again_when_their_session_was_killed(tmp_path: Path) -> None:
    with another_session(tmp_path, 43) as session:
        assert said(session) == "True"
        session.kill()

    assert reserve({43}, tmp_path)


def test_a_session_does_not_reserve_a_port_twice(tmp_path: Path) -> None:
    assert reserve({44, 45}, tmp_path)
    assert not reserve({45}, tmp_path)
