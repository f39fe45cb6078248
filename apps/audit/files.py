"""Private files of events: mode 0600 from creation, and written atomically, also across a power failure."""

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


def sync_to_disk(path: Path) -> None:
    """Calls fsync on a file or a folder. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_private(path: Path) -> int:
    """The descriptor of a new file, open for reading and writing, mode 0600. Raises FileExistsError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _ONLY_THE_OWNER)


@contextmanager
def atomic_private_file(path: Path, mark: str) -> Iterator[Path]:
    """Yields an empty private file beside `path`. When the block ends it is synced to the disk and renamed to `path`;
    if the block raises, it is removed.

    A process that dies leaves `.<name>.<mark>.partial`: see `orphaned_partials`. Raises OSError, also if `path` is not
    a regular file.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is there, and is not an ordinary file")
    partial = path.with_name(f".{path.name}.{mark}.partial")
    descriptor = _create_locked(partial)
    try:
        yield partial
        sync_to_disk(partial)
        partial.replace(path)
        sync_to_disk(path.parent)
    finally:
        partial.unlink(missing_ok=True)
        os.close(descriptor)


def _create_locked(partial: Path) -> int:
    """Creates the file and locks it until this process ends: a file without a lock belongs to a dead process."""
    while True:
        descriptor = create_private(partial)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if partial.exists():
            return descriptor
        # Another process removed it as orphaned before it was locked.
        os.close(descriptor)


def orphaned_partials(path: Path) -> Iterator[tuple[Path, str]]:
    """The partial files, with their marks, that dead processes left beside `path`. The caller removes them."""
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


def open_private_text(path: Path) -> TextIO:
    """Opens a new text file with mode 0600 for writing; it replaces an existing file of any mode.

    A path that is not a regular file, such as a pipe, is opened as it is. Raises OSError.
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
