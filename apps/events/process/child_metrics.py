"""The files in which the children of a process write their metrics, without those of children that have ended.

prometheus_client keeps the files of an ended child for ever, since its counts must not be lost. Here they are added to
files of no child, so that a process whose children come and go keeps a bounded number of files. A lock on the folder
lets no scrape see a count twice.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from apps.core.metrics import DECLARED

# Where the counts of ended children are; no process has this id.
ENDED = "ended"
_SUMMED = ("counter", "histogram")


def collect_ended(folder: Path) -> None:
    """Adds the counts of ended children to those of earlier ones, and removes their files."""
    if not any(_ended_files(folder)):
        return
    with _locked(folder, fcntl.LOCK_EX):
        for file in list(_ended_files(folder)):
            kind = file.name.partition("_")[0]
            if kind in _SUMMED:
                _add(file, folder / f"{kind}_{ENDED}.db")
            file.unlink(missing_ok=True)


class ChildMetrics:
    """What all children counted. A declared metric without a value yet is named too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Raises FileNotFoundError where the folder is gone, because the process ends."""
        collect_ended(self._folder)
        with _locked(self._folder, fcntl.LOCK_SH):
            collector: Any = MultiProcessCollector(None, str(self._folder))  # type: ignore[no-untyped-call]
            found: list[Metric] = list(collector.collect())
        yield from found
        yield from _without_values({metric.name for metric in found})


def _without_values(known: set[str]) -> Iterable[Metric]:
    missing = (declared for declared in DECLARED.values() if declared.family not in known)
    return (Metric(declared.family, declared.text, declared.kind) for declared in missing)


def _ended_files(folder: Path) -> Iterator[Path]:
    for file in folder.glob("*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdigit() and not _lives(int(pid)):
            yield file


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _add(file: Path, sums: Path) -> None:
    into: Any = MmapedDict(str(sums))  # type: ignore[no-untyped-call]
    try:
        for key, value, timestamp, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            into.write_value(key, into.read_value(key)[0] + value, timestamp)
    finally:
        into.close()


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
