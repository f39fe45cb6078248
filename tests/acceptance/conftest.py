"""The whole platform as it runs: every process, behind the gateway, on the servers of the profile `test`."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from apps.ops.smoke_test.client import PlatformClient
from tests.environment import OUTSIDE

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="session")
def platform_url() -> str:
    """The gateway's address. The processes stay up for the next test; `make test` and `make stop-test` end them."""
    command = [sys.executable, "dev/stack.py", "run", "--profile", "test", "--detach", "--no-smoke-test"]
    # Not os.environ: a fixture for RabbitMQ may have put a virtual host of its own there.
    environment = {name: value for name, value in OUTSIDE.items() if not name.startswith("MUCKARD_")}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=180
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return os.environ["MUCKARD_PUBLIC_URL"]


@pytest.fixture
def log_in(platform_url: str) -> Callable[[], PlatformClient]:
    """Registers a trader of his own and logs him in."""

    def make() -> PlatformClient:
        client = PlatformClient(platform_url)
        body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
        client.post("/api/v1/auth/register", body)
        client.token = client.post("/api/v1/auth/login", body)["access"]
        return client

    return make
