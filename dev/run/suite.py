"""`make test` and `make unit`: pytest, on the servers of a profile or without any.

Most tests wait for a server or a process. Two lanes therefore take the whole suite in less time than one, each with
servers of its own: tests stop servers, count what is in queues, and watch the oldest transaction of their PostgreSQL.
"""

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from dev.base import commands
from dev.base.locks import lock
from dev.base.profile import PORTS, ROOT, Profile, beside, variable
from dev.base.progress import say
from dev.config import circus, environment
from dev.install import installer
from dev.run import lanes, lifecycle, starter
from dev.servers import kafka

ALL_TESTS = ("tests/unit", "tests/integration", "tests/chaos", "tests/acceptance", "tests/browser")
# Two sets of servers take 2 GiB, two pytest 1 GiB, and the platform of the acceptance tests 3 GiB.
NEEDED_MIB_FOR_TWO_LANES = 7_000


def tests(profile: Profile, arguments: Sequence[str], *, keep: bool, lanes_wanted: int) -> int:
    """The servers, then pytest. What this call started is stopped, whatever became of the tests.

    The whole suite runs in 2 lanes where `lanes_wanted` says so and the machine has room for them.
    """
    profiles = [profile]
    if lanes_wanted == 2 and not arguments and _two_lanes_fit():
        profiles.append(beside(profile, os.environ))
    with ExitStack() as locks:
        started = [locks.enter_context(starter.starting(each, "starting servers for tests")) for each in profiles]
        _servers(profiles, started)
    try:
        if len(profiles) == 1:
            return starter.run_to_its_end([_pytest(), *(arguments or ALL_TESTS)], _given(profile))
        return _in_lanes(profiles)
    finally:
        if not keep:
            with starter.clearing_up():
                for each, names in zip(profiles, started, strict=True):
                    with lock(each.folder / "lock", "stopping"):
                        starter.stop(each, [circus.SUPERVISOR, *names])


def unit_tests(profile: Profile, arguments: Sequence[str]) -> int:
    """pytest on tests/unit. No server is started, and none is needed."""
    starter.prepare_without_servers(profile)
    command = [_pytest(), *(arguments or ["tests/unit"]), "--hypothesis-profile=quick"]
    return starter.run_to_its_end(command, _given(profile))


def _two_lanes_fit() -> bool:
    """Says why where they do not: one lane does the same, and takes longer."""
    available = kafka.available_mib()
    if any(os.environ.get(name) for name in environment.SERVER_URLS.values()):
        why = "a server is given by its URL"
    elif any(os.environ.get(variable(port)) for port in PORTS):
        why = "a port is given by a variable"
    elif available is not None and available < NEEDED_MIB_FOR_TWO_LANES:
        why = f"{available} MiB of memory are available and two need {NEEDED_MIB_FOR_TWO_LANES}"
    else:
        return True
    say(f"  The tests run in one lane: {why}.")
    return False


def _servers(profiles: Sequence[Profile], started: Sequence[list[str]]) -> None:
    began_at = time.monotonic()
    for each in profiles:
        starter.prepare(each, starter.SERVER_REFUSALS, with_browser=True)
    commands.in_parallel(
        [partial(lifecycle.start_servers, each, names) for each, names in zip(profiles, started, strict=True)]
    )
    names = " and ".join(each.name for each in profiles)
    say(f"  The servers of {names} are ready after {time.monotonic() - began_at:.1f} s.")


def _in_lanes(profiles: Sequence[Profile]) -> int:
    folder = _empty_folder(profiles[0].folder / "lanes")
    command = [_pytest(), *ALL_TESTS, "-p", "tests.support.lanes", "--lanes-folder", str(folder)]
    started = [
        lanes.Lane("1", command, _given(profiles[0])),
        lanes.Lane("2", [*command, "--lane-from-the-back"], _given(profiles[1])),
    ]
    return lanes.run(started, folder, cwd=ROOT, patience=starter.PATIENCE_SECONDS)


def _empty_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _pytest() -> str:
    return str(installer.VENV / "bin" / "pytest")


def _given(profile: Profile) -> dict[str, str]:
    given = environment.for_processes(profile, os.environ)
    # As the tests make their own paths: ours would hide a module that is not importable from there.
    given.pop("PYTHONPATH")
    return given
