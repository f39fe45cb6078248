"""The whole platform as it runs: every process, behind the gateway, on the servers of the tests' profile."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import OUTSIDE

ROOT = Path(__file__).resolve().parents[2]


def profile_folder() -> Path:
    """Where the profile keeps its secrets and logs: `test`, or the one whose environment this shell has."""
    return Path(os.environ["MUCKARD_SECRETS_DIR"]).parent


@pytest.fixture(scope="session")
def platform_url() -> str:
    """The gateway's address. The processes stay up for the next test; `make test` and `make stop-test` end them."""
    command = [sys.executable, "dev/stack.py", "run", "--profile", profile_folder().name, "--detach", "--no-smoke-test"]
    # Not os.environ: a fixture for RabbitMQ may have put a virtual host of its own there.
    environment = {name: value for name, value in OUTSIDE.items() if not name.startswith("MUCKARD_")}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=180
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return os.environ["MUCKARD_PUBLIC_URL"]


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """One of the platform's own commands, run to its end as the staff site."""
    environment = {**os.environ, "SERVICE": "staff", "MUCKARD_ENVIRONMENT": "development", **variables}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
