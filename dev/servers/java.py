"""Finds a Java that Kafka runs on; Debian's default may be older than that."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

OLDEST = 17


def find() -> Path | None:
    """The program `java` of the first runtime that is new enough, or None."""
    return next((home / "bin" / "java" for home in _homes() if version(home) >= OLDEST), None)


def version(home: Path) -> int:
    """The major version of a runtime, as its own file says; 0 where there is none."""
    if not os.access(home / "bin" / "java", os.X_OK) or not (home / "release").is_file():
        return 0
    found = re.search(r'^JAVA_VERSION="(\d+)', (home / "release").read_text(), re.MULTILINE)
    return int(found.group(1)) if found else 0


def _homes() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"])
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve().parents[1]
    yield from sorted(Path("/usr/lib/jvm").glob("*"), reverse=True)
