"""External merge sort of lines by their bytes."""

import heapq
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

MEMORY = 16 * 2**20


@dataclass
class _Run:
    """A sorted part of the file: byte offsets, and the last line."""

    start: int
    end: int
    last: bytes


def external_sort(lines: Iterable[bytes], *, folder: Path | None = None, memory: int = MEMORY) -> Iterator[bytes]:
    """The lines, each ended by a newline, in the order of their bytes.

    About `memory` bytes are held in memory. The rest is in an unnamed temporary file in `folder`, which disappears with
    the process. Raises OSError.
    """
    with TemporaryFile(dir=folder) as file:
        runs: list[_Run] = []
        for part in _parts(lines, memory):
            part.sort()
            start = file.tell()
            file.writelines(part)
            if runs and runs[-1].last <= part[0]:
                runs[-1].end, runs[-1].last = file.tell(), part[-1]
            else:
                runs.append(_Run(start, file.tell(), part[-1]))
        file.flush()
        at_once = max(4096, memory // max(1, len(runs)))
        iterators = [_read(file.fileno(), run, at_once) for run in runs]
        yield from heapq.merge(*iterators)


def _parts(lines: Iterable[bytes], memory: int) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size = 0
    for line in lines:
        part.append(line)
        size += len(line)
        if size >= memory:
            yield part
            part, size = [], 0
    if part:
        yield part


def _read(descriptor: int, run: _Run, at_once: int) -> Iterator[bytes]:
    """The run's lines. Uses pread, because all runs share the file's position."""
    position, rest = run.start, b""
    while position < run.end:
        data = os.pread(descriptor, min(at_once, run.end - position), position)
        position += len(data)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line + b"\n"
