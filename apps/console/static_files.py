"""The console's static files: its own and the vendored libraries, under an address that names their content."""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

_APPS = Path(__file__).resolve().parents[1]
# Served as /app/static/<digest>/console/… and /app/static/<digest>/vendor/…
FOLDERS = (_APPS / "console" / "static", _APPS / "core" / "static")


@cache
def digest_of_static_files() -> str:
    """Changes with each file's name or content. Read once a process: a restart serves changed files."""
    digest = hashlib.sha256()
    for folder, path in _files():
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


class ConsoleFinder(BaseFinder):
    """Finds files of FOLDERS alone: those of other installed apps are not the console's to serve."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self._storages = [FileSystemStorage(location=folder) for folder in FOLDERS]

    def check(self, **_kwargs: Any) -> list[Any]:
        return []

    def find(self, path: str, find_all: bool = False, **_kwargs: Any) -> Any:
        found = [str(folder / path) for folder in FOLDERS if (folder / path).is_file()]
        return found if find_all else next(iter(found), None)

    def list(self, ignore_patterns: Any) -> Iterator[tuple[str, FileSystemStorage]]:
        for folder, path in _files():
            yield str(path.relative_to(folder)), self._storages[FOLDERS.index(folder)]


def _files() -> Iterator[tuple[Path, Path]]:
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield folder, path
