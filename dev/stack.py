#!/usr/bin/env python3
"""The one starter of this checkout: `python3 dev/stack.py COMMAND`, for `make run`, `make test` and CI.

This file has to be readable by any Python 3, so that one that is too old gets a sentence and not a traceback.
"""

import os
import shutil
import sys

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120


def newer_python():
    # type: () -> str | None
    """A Python on this machine that is new enough, or None."""
    candidates = [os.path.join(ROOT, ".venv", "bin", "python")]  # noqa: PTH118
    candidates += [shutil.which("python3.%d" % minor) or "" for minor in (11, 12, 13, 14)]  # noqa: UP031
    return next((path for path in candidates if path and os.access(path, os.X_OK)), None)


if sys.version_info < OLDEST:
    other = newer_python()
    if other is None:
        sys.exit(
            "This needs Python {}.{} or newer; {} is Python {}.{}. Install one (Debian 12, Ubuntu 24.04 and later "
            "bring it as python3) and run the command again.".format(*OLDEST, sys.executable, *sys.version_info[:2])
        )
    os.execv(other, [other, *sys.argv])  # noqa: S606

# This folder must not be on the path: its secrets.py and profile.py are not the standard library's.
sys.path[0] = ROOT

from dev.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
