"""Files with everybody's events: only their owner may read them, and after a power cut they are whole or not there."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from uuid import uuid4

_ONLY_THE_OWNER = 0o600


def file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def bring_to_disk(path: Path) -> None:
    """Returns once a file's content, or a folder's list of names, has reached the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_private(path: Path) -> int:
    """The descriptor of a new file, for reading and writing, mode 0600 from the start. Raises FileExistsError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _ONLY_THE_OWNER)


@contextmanager
def whole_or_absent(path: Path, mark: str) -> Iterator[Path]:
    """An empty private file beside `path` that takes its name, on the disk, when the block ends well; else it is gone.

    A process that dies leaves `.<name>.<mark>.partial`: see `leftovers`. Raises OSError, also where `path` is no
    ordinary file.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is there, and is not an ordinary file")
    partial = path.with_name(f".{path.name}.{mark}.partial")
    descriptor = _create_locked(partial)
    try:
        yield partial
        bring_to_disk(partial)
        partial.replace(path)
        bring_to_disk(path.parent)
    finally:
        partial.unlink(missing_ok=True)
        os.close(descriptor)


def _create_locked(partial: Path) -> int:
    """The lock is held as long as this process lives: a file without one is a dead process's."""
    while True:
        descriptor = create_private(partial)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if partial.exists():
            return descriptor
        # Another process saw it before it was locked, and took it for a dead one's.
        os.close(descriptor)


def leftovers(path: Path) -> Iterator[tuple[Path, str]]:
    """The files, and their marks, that processes left beside `path` when they died. The caller removes them."""
    prefix, suffix = f".{path.name}.", ".partial"
    for partial in sorted(path.parent.glob("*.partial")):
        if not partial.name.startswith(prefix) or partial.is_symlink() or not partial.is_file():
            continue
        with partial.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield partial, partial.name[len(prefix) : -len(suffix)]


def private_text(path: Path) -> TextIO:
    """Opens a file to be written from the start, mode 0600: an older one is replaced, whatever its mode.

    What is no ordinary file, such as a pipe, is opened as it is. Raises OSError.
    """
    if path.exists() and not path.is_file():
        return path.open("w", encoding="utf-8")
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    file = os.fdopen(create_private(partial), "w", encoding="utf-8")
    try:
        partial.replace(path)
    except BaseException:
        file.close()
        partial.unlink(missing_ok=True)
        raise
    return file
