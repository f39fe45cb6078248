"""Several pytest sessions share one suite: each takes the next file that no other has taken (dev/run/suite.py).

One goes from the front and one from the back, so that none of them waits for the other before all files are taken, and
no list of durations has to be kept. Files stay whole: fixtures of a module are set up once, as in a single session.
"""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

_FAILED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lanes", "several sessions on one suite")
    group.addoption("--lanes-folder", type=Path, help="where the sessions note the files that they take")
    group.addoption("--lane-from-the-back", action="store_true", help="take the last file first")


def pytest_configure(config: pytest.Config) -> None:
    failed: list[str] = []
    config.stash[_FAILED] = failed

    class Recorder:
        @staticmethod
        def pytest_runtest_logreport(report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid)

    config.pluginmanager.register(Recorder)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """As pytest's own, for the files that this session takes. Without a folder pytest does as always."""
    folder: Path | None = session.config.option.lanes_folder
    if folder is None or session.config.option.collectonly:
        return None
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        raise session.Interrupted("errors during collection")
    ran = 0
    taken = _taken_files(session, folder)
    file = next(taken, [])
    try:
        while file:
            following: list[pytest.Item] = []
            for item, beside in zip(file, [*file[1:], None], strict=True):
                # As late as it can be known: a file that is taken early waits for this session.
                following = following if beside else next(taken, [])
                after = beside or (following[0] if following else None)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                ran += 1
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
            file = following
    finally:
        _report(session, folder, ran)
    return True


def _taken_files(session: pytest.Session, folder: Path) -> Iterator[list[pytest.Item]]:
    """Takes a file each time that it is asked for one. pytest-django may have sorted a file into parts."""
    parts = [(path, list(items)) for path, items in groupby(session.items, key=lambda item: item.path)]
    numbered = list(enumerate(parts))
    for number, (path, items) in reversed(numbered) if session.config.option.lane_from_the_back else numbered:
        try:
            (folder / f"{number}-{path.stem}-{len(items)}").touch(exist_ok=False)
        except FileExistsError:
            continue
        yield items


def _report(session: pytest.Session, folder: Path, ran: int) -> None:
    lane = "back" if session.config.option.lane_from_the_back else "front"
    failed = session.config.stash[_FAILED]
    found = {"collected": len(session.items), "ran": ran, "failed": list(dict.fromkeys(failed))}
    (folder / f"{lane}.json").write_text(json.dumps(found))
