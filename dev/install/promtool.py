"""promtool, which checks Prometheus' rules in tests: the program alone, out of Debian's package.

Nothing is installed, so that no Prometheus is started on this machine. Without it the tests that need it are skipped.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from dev.base.profile import TOOLS
from dev.base.progress import say, step

PROGRAM = TOOLS / "prometheus" / "promtool"
PACKAGE = "prometheus"


def find() -> str | None:
    """The path of promtool: this machine's, or the one that `fetch` brought."""
    return shutil.which("promtool") or (str(PROGRAM) if PROGRAM.is_file() else None)


def fetch() -> None:
    """Brings promtool below .local/tools where it is missing and apt-get can; else says what is skipped."""
    if find() is not None:
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        say("  promtool is missing, and this machine has no apt-get: tests of Prometheus' rules will be skipped.")
        return
    with step("Fetching promtool") as current, tempfile.TemporaryDirectory() as folder:
        problem = _fetch(Path(folder))
        current.result = "Fetched promtool" if not problem else f"No promtool, its tests will be skipped: {problem}"


def _fetch(folder: Path) -> str:
    """Why it could not be fetched; empty if it could."""
    try:
        _run("apt-get", "download", "-q", PACKAGE, folder=folder)
        package = next(folder.glob(f"{PACKAGE}_*.deb"))
        _run("dpkg-deb", "--extract", str(package), str(folder / "out"), folder=folder)
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "out" / "usr" / "bin" / "promtool", PROGRAM)
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        return f"apt-get download {PACKAGE}: {type(error).__name__}"
    return ""


def _run(*command: str, folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
