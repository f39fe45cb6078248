"""Files that must be there, and whole, after a power cut."""

import hashlib
import os
from pathlib import Path


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
