"""The whole platform as it runs: every process, behind the gateway, on the servers of the tests' profile."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from apps.ops.smoke_test.client import PlatformClient
from dev.base import profile as profiles
from dev.base.processes import OwnProcess
from tests.support.environment import OUTSIDE
from tests.support.signals import processes_of

ROOT = Path(__file__).resolve().parents[2]


def profile_folder() -> Path:
    """Where the profile keeps its secrets and logs: `test`, or the one whose environment this shell has."""
    return Path(os.environ["MUCKARD_SECRETS_DIR"]).parent


STARTS_WITHIN_SECONDS = 240
OF_THE_PLATFORM = (ROOT / "tests" / "acceptance", ROOT / "tests" / "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that asks for the platform waits for its start."""
    for item in items:
        if "platform_url" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(STARTS_WITHIN_SECONDS + 120))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Stops the platform before tests of other folders: its processes would take their partitions, leases and messages.

    A session that takes the files from the back (tests/support/lanes.py) has the tests of the platform first.
    """
    asks = "platform_url" in getattr(item, "fixturenames", ())
    if asks and _platform.was_stopped:
        _platform.start()
    elif not asks and _platform.is_up and not any(item.path.is_relative_to(folder) for folder in OF_THE_PLATFORM):
        _platform.stop()


@pytest.fixture(scope="session")
def platform_url() -> str:
    """The gateway's address. The processes stay up for the next test; `make test` and `make stop-test` end them."""
    _platform.start()
    return os.environ["MUCKARD_PUBLIC_URL"]


def stack(command: str, *options: str) -> str:
    """What the starter prints, on the profile of the tests. Fails with that where it fails."""
    whole = [sys.executable, "dev/stack.py", command, "--profile", profile_folder().name, *options]
    # Not os.environ: a fixture for RabbitMQ may have put a virtual host of its own there.
    environment = {name: value for name, value in OUTSIDE.items() if not name.startswith("MUCKARD_")}
    result = subprocess.run(
        whole, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=STARTS_WITHIN_SECONDS
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def running(name: str) -> list[OwnProcess]:
    """The processes of the platform or its servers with this name of the starter. Fails where there is none."""
    return processes_of(profiles.load(profile_folder().name, {}), name)


class _Platform:
    is_up = was_stopped = False

    def start(self) -> None:
        stack("run", "--detach", "--no-smoke-test")
        self.is_up, self.was_stopped = True, False

    def stop(self) -> None:
        stack("stop", "--applications")
        self.is_up, self.was_stopped = False, True


_platform = _Platform()


def registered_trader(url: str) -> PlatformClient:
    """A client of the platform behind this gateway, logged in as a trader of its own."""
    client = PlatformClient(url)
    body = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery staple"}
    client.post("/api/v1/auth/register", body)
    client.token = client.post("/api/v1/auth/login", body)["access"]
    return client


def manage(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """One of the platform's own commands, run to its end as the staff site."""
    environment = {**os.environ, "SERVICE": "staff", "MUCKARD_ENVIRONMENT": "development", **variables}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
