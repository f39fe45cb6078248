"""Lets tests talk to the servers of the profile `test`, which `make test` or `make servers-test` has started.

Loaded by pytest before Django's settings. What the environment already says is kept.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_EXPORT = re.compile(r"^export (\w+)=(?P<quote>['\"]?)(.*)(?P=quote)$")


def read_exports(text: str) -> dict[str, str]:
    """The variables that `dev/stack.py env` prints."""
    matches = (_EXPORT.match(line) for line in text.splitlines())
    return {match[1]: match[3] for match in matches if match}


def _profile_environment() -> dict[str, str]:
    command = [sys.executable, str(ROOT / "dev" / "stack.py"), "env", "--profile", "test"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if result.returncode != 0:
        sys.exit(f"The test servers are not there: run `make servers-test` first.\n{result.stderr.strip()}")
    return read_exports(result.stdout)


# What a process started by hand would be given: tests that start the platform give it this.
OUTSIDE = dict(os.environ)

for name, value in _profile_environment().items():
    os.environ.setdefault(name, value)
os.environ["MUCKARD_ENVIRONMENT"] = "test"
# Quotas are for their own tests: others send what they need.
for scope in ("READ", "TRADE", "ACCOUNT", "SAFETY"):
    os.environ.setdefault(f"MUCKARD_QUOTA_{scope}", "0")
# So is the second factor of staff.
os.environ.setdefault("MUCKARD_STAFF_MFA", "false")
os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
